"""The sampler of a task that trains: its reference, its checks, and the number of samples in an epoch."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from hpcmtl.jobfile.arrays import UNKNOWN
from hpcmtl.training.kinds.fit import NETWORK_KINDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from hpcmtl.jobfile.arrays import ArraySpec, KeyedReference
    from hpcmtl.jobfile.findings import Finding
    from hpcmtl.networks.objective import Objective
    from hpcmtl.training.kinds.sampler_schema import SamplerKeys

SAMPLER = "sampler"
"""The key of a task."""


def sampler_reference(keys: SamplerKeys | None) -> KeyedReference | None:
    """Returns the array that a sampler names, with its key; None if it names none."""
    if keys is None:
        return None
    for key, reference in (("classes", keys.classes), ("weights", keys.weights)):
        if reference is not None:
            return (SAMPLER, key), reference
    return None


def sampled_objective(keys: SamplerKeys, objectives: Sequence[Objective]) -> Objective | None:
    """Returns the objective whose target has the classes of a sampler; None if they are those of another array."""
    if keys.classes is None:
        return objectives[0] if len(objectives) == 1 and keys.weights is None else None
    return next((each for each in objectives if each.target == keys.classes), None)


def check_sampler(
    keys: SamplerKeys, objectives: Sequence[Objective], arrays: Mapping[str, ArraySpec]
) -> Iterator[Finding]:
    """Yields what a sampler cannot choose by, as far as arrays are known."""
    named, objective = sampler_reference(keys), sampled_objective(keys, objectives)
    if named is None and objective is None:
        text = f"the task has {len(objectives)} targets; name the class numbers to choose by"
        yield (SAMPLER,), f"{text}, as in `classes: {objectives[0].target}`"
        return
    path, reference = named or ((SAMPLER,), objective.target if objective else "")
    array = arrays.get(reference, UNKNOWN)
    what = "weight" if keys.how == "weighted" else "class number"
    if array.kind not in NETWORK_KINDS:
        yield path, f"{reference} holds no numbers; a sampler needs one {what} a sample"
    elif array.shape is not None and math.prod(array.shape) != 1:
        yield path, f"{reference} has samples of shape {array.shape}; a sampler needs one {what} a sample"


def epoch_samples(
    keys: SamplerKeys, objectives: Sequence[Objective], rows: int, arrays: Mapping[str, ArraySpec]
) -> int:
    """Returns how many samples an epoch has, as far as it is known before the run.

    Args:
        keys: keys of the sampler.
        objectives: objectives of the task.
        rows: samples of the train split.
        arrays: known arrays by reference.
    """
    if keys.k is None:
        return keys.samples or rows
    objective = sampled_objective(keys, objectives)
    reference = keys.classes or (objective.target if objective else "")
    classes = arrays.get(reference, UNKNOWN).classes
    return rows if classes is None else min(rows, keys.k * classes)

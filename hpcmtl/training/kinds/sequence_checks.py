"""Checks of the keys of a task that belong to samples of different lengths."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcmtl.jobfile.inputs import by_input
from hpcmtl.jobfile.transforms import READY_MADE
from hpcmtl.training.kinds.input_arrays import transform_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from hpcmtl.jobfile.arrays import ArraySpec
    from hpcmtl.jobfile.findings import Finding
    from hpcmtl.jobfile.transforms import Transform
    from hpcmtl.training.kinds.schemas import Trained


def check_sequences(
    task: Trained,
    inputs: Mapping[str, str],
    transforms: Mapping[str, Sequence[Transform]],
    arrays: Mapping[str, ArraySpec],
) -> Iterator[Finding]:
    """Yields transforms that sequences cannot have, and buckets of samples that are no sequences.

    Args:
        task: the task.
        inputs: name of an input -> reference.
        transforms: name of an input -> its transforms.
        arrays: known arrays by reference.
    """
    known = {name: arrays[reference] for name, reference in inputs.items() if reference in arrays}
    for name, each in known.items():
        if each.ragged and any(transform.name in READY_MADE for transform in transforms.get(name, ())):
            text = "ready-made transforms are for samples of one length, and would change padding"
            yield transform_path(name), f"{text}; leave them out, or write a function of your own"
    if len(known) == len(inputs) and not any(each.ragged for each in known.values()) and task.buckets is not None:
        yield ("buckets",), "the samples of the input have one length, and are not padded; leave `buckets` out"


def check_unmixed(task: Trained, arrays: Mapping[str, ArraySpec]) -> Iterator[Finding]:
    """Yields those of several sources of a task that have sequences."""
    for source, keys in task.sources.items():
        read = {*by_input(keys.input).values(), keys.target, *keys.targets.values()} - {None}
        if any(each.ragged for reference, each in arrays.items() if reference in read):
            text = "sequences of different lengths are not mixed with other sources"
            yield ("sources", source), f"{text}; join the files, or seal them with one `length`"

"""The sampler of a training task, made from the classes or the weights of its train samples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.data.labels import known_labels
from hpcmtl.data.samplers import BalancedSampler, WeightedSampler, k_shot
from hpcmtl.data.sources import open_sources
from hpcmtl.errors import InputError, Problem

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hpcmtl.arrays import Ints
    from hpcmtl.data.samplers import Sampler
    from hpcmtl.data.sources import Source
    from hpcmtl.networks.objective import Missing
    from hpcmtl.training.kinds.sampler_schema import SamplerKeys


def read_sampler(
    keys: SamplerKeys, source: Source, mask: Source | None, missing: Missing | None, numbers: Ints, *, seed: int
) -> Sampler:
    """Reads what a sampler chooses by, once.

    Args:
        keys: keys of the sampler.
        source: one class number or weight a sample.
        mask: 0 for each missing class number; None without.
        missing: number that stands for a missing class number; None if none does.
        numbers: (n,) ascending numbers of the samples in the train split.
        seed: seed of the order of samples.

    Raises:
        InputError: a value is no class number or no weight, all weights are 0, or a class has fewer than k samples.
    """
    sources = [source] if mask is None else [source, mask]
    with open_sources(sources) as readers:
        values, *masks = (readers[each.key].rows(numbers, lambda: None) for each in sources)
    where, samples = f"{source.path}: {source.dataset}", keys.samples or len(numbers)
    if values.size != len(values):
        raise InputError(
            [Problem(where, f"has samples of shape {values.shape[1:]}; a sampler needs one number a sample")]
        )
    if keys.how == "weighted":
        return WeightedSampler(_cumulative(where, values.reshape(-1).astype(np.float64)), samples)
    known = known_labels(values, missing, masks[0] if masks else None).reshape(-1)
    members = _members(where, values.reshape(-1), known, numbers)
    if keys.k is None:
        return BalancedSampler(members, samples)
    for places in members:
        if len(places) < keys.k:
            text = f"class {values.reshape(-1)[places[0]]:g} has {len(places)} train samples, fewer than `k: {keys.k}`"
            raise InputError([Problem(where, f"{text}; write a smaller `k`, or add samples")])
    return k_shot(members, keys.k, seed)


def _cumulative(where: str, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    bad = ~(np.isfinite(weights) & (weights >= 0))
    if bad.any():
        text = f"a weight is {weights[bad][0]:g}; weights of samples are 0 or more, and finite"
        raise InputError([Problem(where, text)])
    if not weights.any():
        raise InputError([Problem(where, "all weights of the train samples are 0, so that none can be drawn")])
    return np.cumsum(weights)


def _members(where: str, values: NDArray[Any], known: NDArray[np.bool_], numbers: Ints) -> tuple[Ints, ...]:
    """Returns the places of the samples of each class that is there."""
    labels = values[known]
    if not len(labels):
        raise InputError(
            [Problem(where, f"none of the {len(values)} class numbers is known, so that none can be drawn")]
        )
    bad = known & ~((values >= 0) & (values == np.trunc(values)))
    if bad.any():
        text = f"sample {numbers[bad][0]} has {values[bad][0]:g}, which is no number of a class, from 0"
        raise InputError([Problem(where, f"{text}; a missing one has to be declared, see `missing` of the task")])
    order = np.argsort(labels, kind="stable")
    _, starts = np.unique(labels[order], return_index=True)
    return tuple(np.split(np.flatnonzero(known)[order], starts[1:]))

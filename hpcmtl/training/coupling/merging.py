"""Weighted means of the parameters that several tasks share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.exchange.packed_arrays import PackedArrays, pack

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hpcmtl.arrays import Arrays


VALUE, PRECISION, WEIGHT = "value/", "precision/", "weight"
# Added to every precision: a parameter with zero precision in all members gets the plain mean.
LEAST_PRECISION = 1e-12


def contribution(values: Arrays, weight: float, precision: Arrays | None = None) -> PackedArrays:
    """Packs the contribution of a member to a round of merging.

    Args:
        values: parameters of the member, by name.
        weight: weight of all parameters without a precision.
        precision: (shape of the parameter,) precision of each number, by name.
    """
    named = {VALUE + name: array for name, array in values.items()}
    named |= {PRECISION + name: array for name, array in (precision or {}).items()}
    return pack({WEIGHT: np.array([weight]), **named})


def combine(members: Mapping[str, PackedArrays]) -> PackedArrays:
    """Returns the weighted mean of the members' contributions, number by number.

    The sums are in float64, in the order of the members.

    With precisions this is the Fisher-weighted average of Matena and Raffel (Merging Models with Fisher-Weighted
    Averaging, NeurIPS 2022): sum_i F_i w_i / sum_i F_i with the diagonal of the Fisher information, the optimum for
    Gaussian posteriors of the members.

    Raises:
        ValueError: the names or shapes of two members differ; the message names the members.
    """
    brought = {task: packed.arrays() for task, packed in members.items()}
    first, *others = brought
    shapes = {name: array.shape for name, array in brought[first].items()}
    for other in others:
        theirs = {name: array.shape for name, array in brought[other].items()}
        if theirs != shapes:
            name = min(dict(theirs.items() ^ shapes.items()))
            text = f"{first} has {name} with shape {shapes.get(name)}, {other} with {theirs.get(name)}"
            raise ValueError(f"the members do not share the same parameters: {text}")
    names = [name.removeprefix(VALUE) for name in shapes if name.startswith(VALUE)]
    return pack({name: _mean(name, list(brought.values())) for name in names})


def _mean(name: str, brought: list[Arrays]) -> np.ndarray[Any, Any]:
    total: Any = 0.0
    weights: Any = 0.0
    for arrays in brought:
        precise = PRECISION + name in arrays
        weight = arrays[PRECISION + name].astype(np.float64) + LEAST_PRECISION if precise else arrays[WEIGHT][0]
        total = total + weight * arrays[VALUE + name].astype(np.float64)
        weights = weights + weight
    mean: np.ndarray[Any, Any] = np.asarray(total / weights, brought[0][VALUE + name].dtype)
    return mean

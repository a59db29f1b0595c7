"""Cuts a rank's share of a batch into micro-batches whose gradients are added, and doubles a row that is alone."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from hpcmtl.arrays import Floats, Ints
    from hpcmtl.training.step_input import StepInput


def micro_batches(batch: StepInput, count: int) -> list[StepInput]:
    """Returns micro-batches of nearly equal size, in order; fewer than `count` where there are fewer rows.

    A loss is a sum over rows that is divided by the size of the whole batch, so that the sum of the gradients of all
    micro-batches is the gradient of the batch.
    """
    if count == 1:
        return [batch]
    parts = [part for part in np.array_split(np.arange(batch.rows), count) if len(part)]
    return [rows_of(batch, slice(part[0], part[-1] + 1)) for part in parts]


def rows_of(batch: StepInput, rows: slice | Ints) -> StepInput:
    """Returns some rows of a batch, of which the batch keeps its size over the group."""
    several = batch.targets_per_row
    of_targets = np.arange(len(batch.weights)).reshape(-1, several)[rows].reshape(-1) if several > 1 else rows
    targets = tuple(target[of_targets] for target in batch.targets)
    labels = tuple(None if each is None else each[of_targets] for each in batch.label_weights)
    inputs, weights = batch.with_inputs(lambda each: each[rows]), batch.weights[of_targets]
    return replace(batch, inputs=inputs, targets=targets, weights=weights, label_weights=labels)


def portions_of(batch: StepInput, portions: Floats | None) -> list[StepInput]:
    """Returns the same rows with other weights, for each of some portions; without them the batch itself.

    Args:
        batch: rows of this rank; those that were doubled have the same factors.
        portions: (portions, rows) factors on the weights.
    """
    if portions is None:
        return [batch]
    factors = portions.repeat(len(batch.weights) // portions.shape[1], axis=1)
    return [replace(batch, weights=batch.weights * each) for each in factors.astype(np.float32)]


def at_least_two_rows(batch: StepInput) -> StepInput:
    """Returns a batch of a single row with this row twice, at half its weight; any other as it is.

    The loss stays, and so do mean (the row) and variance (0) of a batch normalisation, which some frameworks refuse to
    compute from one value.
    """
    if batch.rows != 1:
        return batch
    twice = rows_of(batch, np.zeros(2, np.intp))
    return replace(twice, weights=twice.weights / 2)

"""Makes the input of a step from a rank's share of a batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hpcmtl.training.step_input import StepInput, inputs_in

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from hpcmtl.data.batches import Batch
    from hpcmtl.networks.consistency import Consistency


def step_input_of(
    batch: Batch, targets: Mapping[str, str], ranks: int, consistency: Sequence[Consistency] = ()
) -> StepInput:
    """Returns the input of a rank to a step.

    Args:
        batch: share of the rank.
        targets: name of an objective -> key of its targets, in the order of the objectives.
        ranks: number of ranks of the group.
        consistency: losses between outputs of the network, which come after those of the objectives.
    """
    labels: tuple[NDArray[np.float32] | None, ...] = ()
    if batch.label_weights or any(each.unlabelled for each in consistency):
        known = {name: batch.label_weights.get(key) for name, key in targets.items()}
        labels = (*known.values(), *(_unlabelled(each, known, len(batch.weights)) for each in consistency))
    return StepInput(
        inputs_in(batch.arrays),
        tuple(batch.arrays[key] for key in targets.values()),
        batch.weights,
        batch.global_samples,
        ranks,
        batch.filler,
        labels,
        batch.targets_per_row,
    )


def _unlabelled(
    consistency: Consistency, known: Mapping[str, NDArray[np.float32] | None], rows: int
) -> NDArray[np.float32] | None:
    """Returns 1 for each sample that counts in a consistency loss, else 0; None where all count.

    Args:
        consistency: the loss.
        known: weights of the labels of each objective; None where all are known.
        rows: number of rows of targets.
    """
    if not consistency.unlabelled:
        return None
    lacking = np.zeros(rows, np.bool_)
    for head in consistency.heads:
        weights = known[head]
        if weights is not None:
            lacking |= (weights.reshape(rows, -1) == 0).any(axis=1)
    return lacking.astype(np.float32)

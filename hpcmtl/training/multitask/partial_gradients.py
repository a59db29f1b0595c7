"""Weights from gradients at one place of the network: the last shared layer, or the output of the trunk."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.training.multitask.local_gramians import mean_gramian
from hpcmtl.training.multitask.shard_sums import Shards

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcmtl.arrays import Floats
    from hpcmtl.training.multitask.group_step import GroupStep
    from hpcmtl.training.objective_rows import GradientPlace


class PartialGradients:
    """Weighs by the Gramian of gradients at one place, with one ordinary backward pass after it; see `GradientRoute`.

    The Gramian is that of the whole group's batch: gradients by a layer are summed over the ranks; those by the output
    of the trunk belong to one sample each, so that the sum of the Gramians of the ranks is theirs.
    """

    def __init__(self, place: GradientPlace) -> None:
        """Takes the place."""
        self._place: GradientPlace = place

    def compute(self, step: GroupStep) -> float | None:
        """See `GradientRoute`."""
        factors: list[float] = step.losses.factors.tolist()

        def weights_of(shares: Floats, rows: np.ndarray[Any, Any]) -> Sequence[float]:
            gramian = self._gramian(step, rows)
            measured = replace(step.measured, gramian=gramian)
            if step.losses.needed:
                losses = step.losses.mean(shares, step.strategy)
                measured = replace(measured, current_losses=losses, labelled=step.losses.labelled)
            if step.loss_scale != 1 and not np.isfinite(gramian).all():
                return [float("nan")] * len(factors)  # the step is skipped
            weights: list[float] = step.weigh(measured, gramian).tolist()
            return weights

        step.learner.backward_weighted(step.batch, factors, step.scale, weights_of, self._place)
        return step.strategy.after_backward(step.learner)

    def _gramian(self, step: GroupStep, rows: np.ndarray[Any, Any]) -> Floats:
        """Returns the Gramian over the group of this rank's rows (collective)."""
        ranks = step.strategy.group.size
        if self._place == "features":
            return mean_gramian(step, rows, finite=True) / ranks  # a rank's scale has the number of ranks: twice in it
        shards = Shards(step.strategy.group, rows.shape[1])
        padded = np.zeros((len(rows), shards.width), np.float32)
        padded[:, : rows.shape[1]] = rows
        return shards.gramian(shards.summed(padded, range(len(rows)))) / (ranks * step.loss_scale) ** 2

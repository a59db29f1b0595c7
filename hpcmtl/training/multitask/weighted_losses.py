"""Gradients of the weighted sum of the losses: one ordinary backward pass."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcmtl.arrays import Floats
    from hpcmtl.training.multitask.group_step import GroupStep


class WeightedLosses:
    """Makes gradients by weights that need no gradients; see `GradientRoute`."""

    def __init__(self, *, by_current_losses: bool) -> None:
        """Takes whether weights need the losses of the step's batch, between its forward and its backward pass."""
        self._by_current_losses = by_current_losses

    def compute(self, step: GroupStep) -> float | None:
        """See `GradientRoute`."""
        factors = step.losses.factors
        if self._by_current_losses:

            def by_losses(shares: Floats) -> Sequence[float]:
                losses = step.losses.mean(shares, step.strategy)
                measured = replace(step.measured, current_losses=losses, labelled=step.losses.labelled)
                weights: list[float] = (step.weigh(measured, None) * factors).tolist()
                return weights

            step.learner.forward_backward(step.batch, by_losses, step.scale)
        else:
            step.learner.forward_backward(step.batch, (step.weigh(step.measured, None) * factors).tolist(), step.scale)
        return step.strategy.after_backward(step.learner)

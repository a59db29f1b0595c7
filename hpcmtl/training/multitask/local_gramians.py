"""Weights from the mean of the Gramians of the ranks: cheaper over a slow network, and another method."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.training.multitask.group_step import shared_gradients
from hpcmtl.training.multitask.sharded_rows import write
from hpcmtl.training.objective_rows import gramian_of

if TYPE_CHECKING:
    from hpcmtl.arrays import Floats
    from hpcmtl.training.multitask.group_step import GroupStep


class LocalGramians:
    """Weighs by the mean of the ranks' Gramians, which contains the noise of their shares; see `GradientRoute`.

    A step sends the gradients once, and T x T numbers.
    """

    def __init__(self, objectives: int) -> None:
        """Takes the number of objectives."""
        self._objectives = objectives
        self._rows = np.zeros((0, 0), np.float32)

    def compute(self, step: GroupStep) -> float | None:
        """See `GradientRoute`."""
        learner, factors = step.learner, step.losses.factors.tolist()
        if not len(self._rows):
            size = sum(array.size for array in shared_gradients(learner).values())
            self._rows = np.zeros((self._objectives, size), np.float32)
        for _ in learner.backward_each(step.batch, factors, step.scale, self._rows):
            pass
        gramian = mean_gramian(step, self._rows, learner.gradients_finite())
        if np.isfinite(gramian).all() or step.loss_scale == 1:
            weights = step.weigh(replace(step.with_newest_losses(), gramian=gramian), gramian)
        else:
            weights = np.full(self._objectives, np.nan)  # a loss scale skips the step
        write(weights.astype(np.float32) @ self._rows, shared_gradients(learner))
        return step.strategy.after_backward(learner)


def mean_gramian(step: GroupStep, rows: np.ndarray[Any, Any], finite: bool) -> Floats:
    """Returns the mean over the group of the Gramians of the ranks' rows, free of a loss scale (collective).

    Args:
        step: the step.
        rows: (objectives, values) of this rank.
        finite: whether its other gradients are; else the Gramian is not.
    """
    gramian = gramian_of(rows) / step.loss_scale**2 / step.strategy.group.size
    if not finite:
        gramian[...] = np.nan
    step.strategy.sum(gramian)
    return gramian

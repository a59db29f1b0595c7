"""Weights that are renewed at some steps, and held in between."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hpcmtl.arrays import Arrays, Floats
    from hpcmtl.training.multitask.group_step import GroupStep

HELD = "replica/held_weights"
"""Name of state."""


class HeldWeights:
    """Keeps the newest weights for the steps that do not renew them.

    Attributes:
        values: (objectives,) the newest weights; None before the first.
    """

    def __init__(self, every: int) -> None:
        """Takes the number of steps from one renewal to the next."""
        self._every = every
        self.values: Floats | None = None

    def due(self, number: int) -> bool:
        """Returns whether a step renews the weights.

        Args:
            number: number of steps of the task done before it.
        """
        return self.values is None or number % self._every == 0

    def state(self) -> Arrays:
        """Returns copies of the state by name; none where each step renews them."""
        return {} if self._every == 1 or self.values is None else {HELD: self.values.copy()}

    def load_state(self, state: Mapping[str, np.ndarray[Any, Any]]) -> None:
        """Restores what `state` returned."""
        self.values = np.array(state[HELD]) if HELD in state else None


class HeldStep:
    """Makes gradients by weights of an earlier step, in one ordinary backward pass; see `GradientRoute`."""

    def compute(self, step: GroupStep) -> float | None:
        """See `GradientRoute`."""
        weights = step.weigh(step.measured, None).tolist()
        step.learner.backward_weighted(step.batch, step.losses.factors.tolist(), step.scale, weights)
        return step.strategy.after_backward(step.learner)

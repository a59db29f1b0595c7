"""Gradients of steps that train one objective each: which one is a pure function of seed and step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hpcmtl.data.mixture import largest_remainder
from hpcmtl.errors import InputError, Problem
from hpcmtl.training.multitask.method import CombinationMethod
from hpcmtl.training.multitask.step_gradients import StepGradients
from hpcmtl.training.multitask.weightings.base import NoOptions, WeightingSetup
from hpcmtl.training.multitask.weightings.equal import Equal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcmtl.jobfile.turns import Turns
    from hpcmtl.networks.objective import Objective
    from hpcmtl.training.learner import Learner
    from hpcmtl.training.step_input import StepInput
    from hpcmtl.training.strategies.base import SynchronisationStrategy


class TurnOrder:
    """Tells the objective of each step; equal on all ranks, without a message."""

    def __init__(self, turns: Turns, shares: Sequence[float], steps_per_epoch: int, epochs: int, seed: int) -> None:
        """Takes the rule.

        Args:
            turns: the rule.
            shares: one number an objective; those of the labels for ``proportional``, of any size for ``round_robin``.
            steps_per_epoch: number of steps in an epoch.
            epochs: number of epochs of the task.
            seed: seed of the order of the turns in an epoch.
        """
        self._turns, self._count, self._steps_per_epoch, self._seed = turns, len(shares), steps_per_epoch, seed
        parts = [share / sum(shares) for share in shares]
        whole = {"stages": epochs, "round_robin": epochs * steps_per_epoch}.get(turns.how, steps_per_epoch)
        self.counts = largest_remainder(parts, whole)
        self._epoch, self._order = -1, np.zeros(0, np.int64)

    def objective(self, step: int) -> int:
        """Returns the number of the objective of a step, which is counted over the whole task."""
        epoch, place = divmod(step, self._steps_per_epoch)
        if self._turns.how == "round_robin":
            return step % self._count
        if self._turns.how == "stages":
            return int(np.searchsorted(np.cumsum(self.counts), epoch, side="right"))
        if epoch != self._epoch:
            ordered = np.repeat(np.arange(self._count), self.counts)
            generator = np.random.Generator(np.random.PCG64([self._seed, epoch]))
            self._epoch, self._order = epoch, generator.permutation(ordered)
        return int(self._order[place])


class TurnGradients(StepGradients):
    """Makes the gradients of steps in each of which one objective takes part; see `StepGradients`."""

    def __init__(self, order: TurnOrder, objectives: Sequence[Objective]) -> None:
        setup = WeightingSetup(objectives=tuple(each.name for each in objectives))
        super().__init__(CombinationMethod(weighting=Equal(setup, NoOptions())), objectives)
        self._order, self._objectives = order, tuple(objectives)

    def compute(
        self, learner: Learner, strategy: SynchronisationStrategy, batch: StepInput, number: int
    ) -> float | None:
        """See `StepGradients`; the losses of all objectives are computed, and the gradients of one."""
        turn = self._order.objective(number)
        self.taking_part = (turn,)
        self.weights = tuple(float(place == turn) for place in range(len(self._objectives)))
        self.totals.add(self.weights, None)
        factors = [own * each.weight for own, each in zip(self.weights, self._objectives, strict=True)]
        learner.forward_backward(batch, factors, strategy.gradient_scale(batch.global_samples))
        return strategy.after_backward(learner)


def turn_gradients(order: TurnOrder, objectives: Sequence[Objective], place: str) -> TurnGradients:
    """Returns the gradients of the steps of a task whose objectives take turns.

    Args:
        order: order of the turns.
        objectives: objectives of the task.
        place: key that errors name.

    Raises:
        InputError: an objective has no turn.
    """
    none = [each.name for each, count in zip(objectives, order.counts, strict=True) if not count]
    if none:
        text = f"{' and '.join(none)} gets no step of an epoch; write a larger share, or a smaller `batch_size`"
        raise InputError([Problem(place, text)])
    return TurnGradients(order, objectives)

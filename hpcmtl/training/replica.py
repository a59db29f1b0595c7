"""One rank's replica of a model in training: learner, synchronisation strategy and step gradients, composed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from hpcmtl.exchange.store import PARAMETERS
from hpcmtl.training.first_step import compare_first_step
from hpcmtl.training.learner import OPTIMIZER
from hpcmtl.training.strategies.allreduce import LOSS_SCALE
from hpcmtl.training.streams import RandomStreams

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hpcmtl.arrays import Arrays
    from hpcmtl.communicators.base import Communicator
    from hpcmtl.training.learner import Learner
    from hpcmtl.training.multitask.step_gradients import StepGradients
    from hpcmtl.training.step_comparison import StepComparison
    from hpcmtl.training.step_input import StepInput
    from hpcmtl.training.strategies.base import SynchronisationStrategy

STRATEGY = "strategy/"
_STREAMS = RandomStreams()

# Names without a prefix in checkpoints, as earlier versions wrote them.
_UNPREFIXED = frozenset({LOSS_SCALE})


class GradientPenalty(Protocol):
    """A penalty on the parameters, of which training needs the gradient alone."""

    def add(self, learner: Learner, rescale: float) -> None:
        """Adds the gradient to synchronised gradients, which the update multiplies by `rescale`."""
        ...


class Replica:
    """Takes training steps on one rank of a group.

    All methods but `collect_losses` are collective: all ranks of the group call them in the same order.

    Attributes:
        learner: network, objectives and optimizer of this rank.
        strategy: synchronisation with the other ranks of the group.
        gradients: combination of the objectives' gradients.
        compared: whether the first step on the present group was compared, see `compare_first_step`.
        streams: seeds of the random numbers of each step.
        skipped_steps: number of steps without an update, because a gradient overflowed; since the replica was made.
        measures_norm: whether the next steps measure the norm of the gradient, before it is clipped.
        gradient_norm: newest norm that was measured; None if none was, or the step was skipped.
        norm_seconds: seconds that this measurement took.
        penalty: penalty whose gradient is added to those of each step; None for none.
    """

    def __init__(
        self,
        learner: Learner,
        strategy: SynchronisationStrategy,
        gradients: StepGradients,
        streams: RandomStreams = _STREAMS,
        clip_norm: float | None = None,
    ) -> None:
        self.learner, self.strategy, self.gradients = learner, strategy, gradients
        self.streams, self._traits, self._clip_norm = streams, learner.traits, clip_norm
        self.skipped_steps = 0
        self.penalty: GradientPenalty | None = None
        self.measures_norm, self.norm_seconds = False, 0.0
        self.gradient_norm: float | None = None
        self._in_group = True
        self._comparison: StepComparison | None = None
        self.compared = False
        learner.use_group_sum(strategy.sum)

    def join(self, strategy: SynchronisationStrategy, streams: RandomStreams) -> None:
        """Continues with another group, by a strategy that is open on it; the learner keeps its state."""
        self.strategy, self.streams = strategy, streams
        self._in_group = True
        self.compared = False
        self.learner.use_group_sum(strategy.sum)

    def follow(self, other: Replica) -> None:
        """Goes on with the counts and records of another replica of the task, whose place it takes."""
        self.skipped_steps, self.gradients.totals = other.skipped_steps, other.gradients.totals

    def compare_first_step(self, task: str, batch: StepInput, rate: float, group: Communicator) -> StepComparison:
        """Compares a step with the framework's own arithmetic, before the first one on a group (collective).

        Args:
            task: name of the task.
            batch: this rank's share of the batch.
            rate: learning rate.
            group: the group.

        Returns:
            What the group agreed on, equal on all ranks.

        Raises:
            TaskFailedError: the update of a parameter is wrong.
        """
        self._comparison = compare_first_step(self.learner, self._comparison, batch, rate, task=task, group=group)
        self.compared = True
        return self._comparison

    def step(self, batch: StepInput, rate: float, number: int) -> None:
        """Takes one optimizer step on the mean loss of the group's batch; may return before it is done.

        Args:
            batch: this rank's share of the batch.
            rate: learning rate.
            number: number of steps of the task done before this one.
        """
        learner, strategy = self.learner, self.strategy
        if self._traits.may_draw:
            learner.reseed(self.streams.network(number))
        rescale = self.gradients.compute(learner, strategy, batch, number)
        if rescale is None:
            self.skipped_steps += 1
        else:
            if self._traits.random_optimizer:
                learner.reseed(self.streams.optimizer(number))
            if self.penalty is not None:
                self.penalty.add(learner, rescale)
            if self.measures_norm and self._clip_norm is None:
                self._measure_norm(rescale)
            factor = rescale if self._clip_norm is None else rescale * self._clip_factor(rescale)
            some = self.gradients.taking_part
            learner.apply(rate, factor, **({} if some is None else {"objectives": some}))
        strategy.after_step(learner, number + 1)
        if self.gradients.measures_update:
            if self._traits.may_draw:
                learner.reseed(self.streams.network(number))
            self.gradients.measure_update(learner, strategy, batch)

    def _measure_norm(self, rescale: float) -> None:
        """Measures the norm of the group's gradient on this rank alone; not in steps that train some objectives."""
        if self.gradients.taking_part is None:
            started = time.perf_counter()
            self.gradient_norm = self.learner.gradient_norm() * rescale
            self.norm_seconds = time.perf_counter() - started

    def _clip_factor(self, rescale: float) -> float:
        """Returns the factor that brings the norm of the group's gradient down to the largest one allowed (collective).

        As Pascanu, Mikolov and Bengio, "On the difficulty of training recurrent neural networks" (2013, algorithm 1).
        Ranks agree on the norm: one that computes in another order would make another update.
        """
        assert self._clip_norm is not None
        found = np.array([self.learner.gradient_norm() * rescale, 1.0])
        self.strategy.sum(found)
        self.gradient_norm = norm = float(found[0] / found[1])
        return self._clip_norm / norm if norm > self._clip_norm else 1.0

    def collect_losses(self, in_flight: int = 0) -> np.ndarray[Any, Any]:
        """Returns this rank's shares of the losses of steps; see `Learner.collect_losses`."""
        return self.learner.collect_losses(in_flight)

    def synchronise(self) -> None:
        """Gives every rank the parameters of the group's first."""
        self.strategy.synchronise(self.learner)

    def consolidate(self) -> None:
        """Brings parameters and running statistics of all ranks to one state, which may be evaluated and saved."""
        self.strategy.consolidate(self.learner)

    def equal_arrays(self, state: Mapping[str, np.ndarray[Any, Any]]) -> Arrays:
        """Returns those arrays of a consolidated learner's state that are bit-equal on all ranks of the group.

        These are the parameters, and the optimizer's state where the strategy keeps replicas equal at each step.
        """
        prefixes = (PARAMETERS, OPTIMIZER) if self.strategy.replicas_equal else (PARAMETERS,)
        return {name: array for name, array in state.items() if name.startswith(prefixes)}

    def state(self) -> Arrays:
        """Returns copies of the whole state by name, equal on all ranks.

        Parameters and optimizer state have the names of `Learner.state`. Names of the strategy's state begin with
        `STRATEGY`; those of the step gradients have prefixes of their own. The loss scale has none.
        """
        self.consolidate()
        strategy = {name if name in _UNPREFIXED else STRATEGY + name: a for name, a in self.strategy.state().items()}
        return {**self.learner.state(), **strategy, **self.gradients.state(self.learner, self.strategy)}

    def load_state(self, state: Mapping[str, np.ndarray[Any, Any]]) -> None:
        """Restores what `state` returned, on all ranks alike; checkpoints of earlier versions are such states."""
        self.learner.load_state(state)
        self.load_strategy_state(state)

    def load_strategy_state(self, state: Mapping[str, np.ndarray[Any, Any]]) -> None:
        """Restores what depends on the group alone: for a replica that joined another one with a state that it has."""
        self.gradients.load_state(state)
        self.strategy.load_state(_under(STRATEGY, state) | {n: a for n, a in state.items() if n in _UNPREFIXED})

    def close(self) -> None:
        """Leaves the group; the learner may join another one. Has no effect when called again."""
        if not self._in_group:
            return
        self._in_group = False
        try:
            self.learner.quiesce()  # nothing may be under way on a communicator that is about to be freed
        finally:
            self.strategy.close()


def _under(prefix: str, state: Mapping[str, np.ndarray[Any, Any]]) -> Arrays:
    return {name.removeprefix(prefix): array for name, array in state.items() if name.startswith(prefix)}

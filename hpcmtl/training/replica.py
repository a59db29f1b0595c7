"""One rank's replica of a model in training: learner, synchronisation strategy and weighting, composed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpcmtl.training.strategies.allreduce import LOSS_SCALE

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

    from hpcmtl.arrays import Arrays
    from hpcmtl.training.learner import Learner, StepInput
    from hpcmtl.training.multitask.weighting import Weighting
    from hpcmtl.training.strategies.base import SynchronisationStrategy

STRATEGY, WEIGHTING = "strategy/", "weighting/"

# Names that stand without a prefix in checkpoints, since versions before 1.1 wrote them so.
_UNPREFIXED = frozenset({LOSS_SCALE})


class Replica:
    """Takes training steps on one rank of a group.

    All methods but `collect_losses` are called by all ranks of the group in the same order.

    Attributes:
        learner: network, objectives and optimizer of this rank.
        strategy: synchronisation with the other ranks of the group.
        weighting: weights of the objectives.
        skipped_steps: number of steps without an update, because a gradient overflowed; since the replica was made.
    """

    def __init__(self, learner: Learner, strategy: SynchronisationStrategy, weighting: Weighting) -> None:
        self.learner, self.strategy, self.weighting = learner, strategy, weighting
        self.skipped_steps = 0
        self._in_group = True

    def join(self, strategy: SynchronisationStrategy) -> None:
        """Continues with another group, by a strategy that is open on it; the learner keeps its state."""
        self.strategy = strategy
        self._in_group = True

    def step(self, batch: StepInput, rate: float, number: int) -> None:
        """Takes one optimizer step on the mean loss of the group's batch; may return before it is done.

        Args:
            batch: this rank's share of the batch.
            rate: learning rate.
            number: number of steps of the task done before this one.
        """
        learner, strategy = self.learner, self.strategy
        learner.forward_backward(batch, self.weighting.weights(), strategy.gradient_scale(batch.global_samples))
        rescale = strategy.after_backward(learner)
        if rescale is None:
            self.skipped_steps += 1
        else:
            learner.apply(rate, rescale)
        strategy.after_step(learner, number + 1)

    def collect_losses(self, in_flight: int = 0) -> np.ndarray[Any, Any]:
        """Returns this rank's shares of the losses of steps; see `Learner.collect_losses`."""
        return self.learner.collect_losses(in_flight)

    def synchronise(self) -> None:
        """Gives every rank the parameters of the group's first."""
        self.strategy.synchronise(self.learner)

    def state(self) -> Arrays:
        """Returns copies of the whole state by name, equal on all ranks.

        Parameters and optimizer state have the names of `Learner.state`. Names of the strategy's state begin with
        `STRATEGY`, and those of the weighting's with `WEIGHTING`; the loss scale has no prefix.
        """
        self.strategy.consolidate(self.learner)
        strategy = {name if name in _UNPREFIXED else STRATEGY + name: a for name, a in self.strategy.state().items()}
        weighting = {WEIGHTING + name: array for name, array in self.weighting.state().items()}
        return {**self.learner.state(), **strategy, **weighting}

    def load_state(self, state: Mapping[str, np.ndarray[Any, Any]]) -> None:
        """Restores what `state` returned, on all ranks alike; checkpoints of earlier versions are such states."""
        self.learner.load_state(state)
        self.weighting.load_state(_under(WEIGHTING, state))
        self.load_strategy_state(state)

    def load_strategy_state(self, state: Mapping[str, np.ndarray[Any, Any]]) -> None:
        """Restores the strategy's part alone: for a replica that joined another group with a state that it has."""
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

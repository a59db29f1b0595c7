"""Losses of steps that a learner has computed and not yet given away, and the names of its state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hpcmtl.training.learner import OPTIMIZER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from hpcmtl.arrays import Arrays, Floats
    from hpcmtl.training.parameter_groups import ParameterUpdater
    from hpcmtl.training.step_input import StepInput


class _Step(NamedTuple):
    """Holds the losses of one step.

    Attributes:
        losses: for each objective a native array (n,), the loss of each sample, or (n, labels), that of each label.
        weights: their weights, in the same shapes.
        samples: number of samples in the whole group's batch.
    """

    losses: Sequence[Any]
    weights: Sequence[np.ndarray[Any, Any]]
    samples: int


class PendingLosses:
    """Keeps the losses of steps under way, as arrays of the framework; see `Learner.collect_losses`.

    Args:
        objectives: number of objectives.
        host_array: function that returns the values of a native array; it waits for them.
    """

    def __init__(self, objectives: int, host_array: Callable[[Any], np.ndarray[Any, Any]]) -> None:
        self._objectives, self._host_array = objectives, host_array
        self._steps: list[_Step] = []
        self._newest: list[float] | None = None  # shares of the newest step, once they were asked for

    def __len__(self) -> int:
        return len(self._steps)

    def add(self, losses: Sequence[Any], batch: StepInput) -> None:
        """Adds the losses of the samples of a step."""
        weights = [batch.weights_of(number, tuple(loss.shape)) for number, loss in enumerate(losses)]
        self._steps.append(_Step(losses, weights, batch.global_samples))
        self._newest = None

    def newest(self, steps: int) -> Sequence[Any]:
        """Returns the losses of the step before the newest `steps`."""
        return self._steps[-1 - steps].losses

    def collect(self, in_flight: int) -> np.ndarray[Any, Any]:
        """Returns the shares of all steps but the newest `in_flight`, (steps, objectives), and forgets them."""
        count = max(len(self._steps) - in_flight, 0)
        done, self._steps = self._steps[:count], self._steps[count:]
        shares = [self._shares(step) for step in done]
        if shares and not self._steps:
            self._newest = shares[-1]
        return np.array(shares).reshape(len(done), self._objectives)

    def newest_shares(self) -> Floats | None:
        """Returns the shares of the newest step, (objectives,), collected or not; None before the first."""
        if self._newest is None and self._steps:
            self._newest = self._shares(self._steps[-1])
        return None if self._newest is None else np.array(self._newest)

    def _shares(self, step: _Step) -> list[float]:
        return loss_shares(map(self._host_array, step.losses), step.weights, step.samples)

    def clear(self) -> None:
        """Forgets all losses."""
        self._steps.clear()
        self._newest = None


def loss_shares(
    losses: Iterable[np.ndarray[Any, Any]], weights: Sequence[np.ndarray[Any, Any]], samples: int
) -> list[float]:
    """Returns a rank's shares of the mean losses of a batch, one an objective; their sum over the ranks is the loss.

    Args:
        losses: for each objective the losses of this rank's samples, or of their labels.
        weights: their weights, in the same shapes.
        samples: number of samples in the whole group's batch.
    """
    pairs = zip(losses, weights, strict=True)
    return [float(np.dot(loss.ravel(), each.ravel())) / samples for loss, each in pairs]


def state_with(updater: ParameterUpdater, parameters: Arrays) -> Arrays:
    """Returns the state of a learner: its parameters, and the optimizer's state under names with `OPTIMIZER`."""
    return {**parameters, **{OPTIMIZER + name: array for name, array in updater.state().items()}}


def optimizer_part(state: Mapping[str, np.ndarray[Any, Any]]) -> Arrays:
    """Returns the optimizer's part of a learner's state, under its own names."""
    return {name.removeprefix(OPTIMIZER): array for name, array in state.items() if name.startswith(OPTIMIZER)}

"""Whole gradients of the objectives over the group, on the shards of ranks; what a method makes of them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.training.multitask.group_step import shared_gradients
from hpcmtl.training.multitask.halves import halves_of, whole_rows
from hpcmtl.training.multitask.shard_sums import Shards

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hpcmtl.arrays import Arrays
    from hpcmtl.training.learner import Learner
    from hpcmtl.training.multitask.group_step import GroupStep
    from hpcmtl.training.multitask.method import CombinationMethod
    from hpcmtl.training.strategies.base import SynchronisationStrategy

ROWS = "weighting_rows/"
"""Prefix of the names of state of coordinates."""


class ShardedRows:
    """Combines the gradients of the objectives over the group, coordinates shared out; see `GradientRoute`."""

    def __init__(self, method: CombinationMethod, objectives: int) -> None:
        """Takes the method and the number of objectives."""
        self._method, self._objectives = method, objectives
        self._by_halves = method.weighting is not None and "cross_gramian" in method.weighting.needs
        self._size: int | None = None  # number of values of the shared parameters, once it is known
        self._rows = np.zeros((0, 0), np.float32)  # of this rank
        self._state: Mapping[str, Any] = {}  # state of all coordinates, still to be cut for this group

    def compute(self, step: GroupStep) -> float | None:
        """See `GradientRoute`."""
        learner, strategy = step.learner, step.strategy
        shards = self._shards(learner, strategy)
        of_coordinates = self._of_coordinates()
        if of_coordinates is not None and self._state:
            of_coordinates.load_state(shards.cut_state(dict(self._state)))
            self._state = {}
        rows = self._summed(step, shards)
        loss_scale = step.loss_scale
        skipped = loss_scale != 1 and not _finite(step, shards, rows)
        block = rows.sum(axis=0) if skipped else self._combined(step, shards, rows)
        if loss_scale != 1:
            block = block * np.float32(loss_scale)
        write(shards.gathered(block.astype(np.float32, copy=False)), shared_gradients(learner))
        return strategy.after_backward(learner, "private_gradients")

    def _summed(self, step: GroupStep, shards: Shards) -> np.ndarray[Any, Any]:
        """Returns this rank's shard of the gradients of the objectives over the group; by halves two rows for each."""
        portions = halves_of(step.batch, step.strategy.group) if self._by_halves else None
        count = self._objectives * (1 if portions is None else len(portions))
        if self._rows.shape != (count, shards.width):
            self._rows = np.zeros((count, shards.width), np.float32)
        factors = step.losses.factors.tolist()
        complete = step.learner.backward_each(step.batch, factors, step.scale, self._rows, portions)
        rows = shards.summed(self._rows, complete)
        divisor = step.strategy.group.size * step.loss_scale  # a rank's scale has its number of ranks, for the mean
        if divisor != 1:
            rows /= np.float32(divisor)
        return rows

    def _combined(self, step: GroupStep, shards: Shards, rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Returns the update on this rank's shard."""
        method, measured = self._method, step.with_newest_losses()
        if method.combiner is not None:
            return method.combiner.combine(rows, shards.first)
        made = rows if method.transform is None else method.transform.transform(rows, measured.current_losses)
        gramian = shards.gramian(made)
        if self._by_halves:
            whole = whole_rows(gramian, step.batch.global_samples)
            weights = step.weigh(replace(measured, cross_gramian=whole.between), whole.gramian)
            rows = rows[0::2] + rows[1::2]
        else:
            weights = step.weigh(replace(measured, gramian=gramian), gramian)
        used = made if method.transform is not None and method.transform.combined else rows
        update: np.ndarray[Any, Any] = weights.astype(used.dtype) @ used
        return update

    def state(self, learner: Learner, strategy: SynchronisationStrategy) -> Arrays:
        """Returns copies of the state of all coordinates by name (collective)."""
        of_coordinates = self._of_coordinates()
        if of_coordinates is None:
            return {}
        if self._state:  # no step was taken since it was restored
            return {ROWS + name: array for name, array in self._state.items()}
        whole = self._shards(learner, strategy).gathered_state(of_coordinates.state())
        return {ROWS + name: array for name, array in whole.items()}

    def load_state(self, state: Mapping[str, np.ndarray[Any, Any]]) -> None:
        """Restores what `state` returned, on a group of any size."""
        self._state = {name.removeprefix(ROWS): array for name, array in state.items() if name.startswith(ROWS)}
        of_coordinates = self._of_coordinates()
        if of_coordinates is not None:
            of_coordinates.load_state({})

    def _shards(self, learner: Learner, strategy: SynchronisationStrategy) -> Shards:
        if self._size is None:  # views wait for the steps under way
            self._size = sum(array.size for array in shared_gradients(learner).values())
        return Shards(strategy.group, self._size)

    def _of_coordinates(self) -> Any:
        """Returns the part of the method that has a state for each coordinate; None if there is none."""
        return self._method.transform or self._method.combiner


def write(values: np.ndarray[Any, Any], gradients: Arrays) -> None:
    """Overwrites gradients, one after the other, by the values of all of them."""
    start = 0
    for array in gradients.values():
        array[...] = values[start : start + array.size].reshape(array.shape)
        start += array.size


def _finite(step: GroupStep, shards: Shards, rows: np.ndarray[Any, Any]) -> bool:
    """Returns whether all gradients are finite, the same on all ranks (collective); else a loss scale skips the step.

    Those of one objective alone count as well: a step that is skipped must not advance the state of a method.
    """
    finite = bool(np.isfinite(rows).all()) and step.learner.gradients_finite()
    bad = np.array([0.0 if finite else 1.0])
    shards.group.Allreduce(bad, "max")
    return not bad[0]

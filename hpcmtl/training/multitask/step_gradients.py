"""The gradients of a step from those of the objectives: by weights, or by what a method makes of whole gradients."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.training.multitask.known_losses import KnownLosses, labelled_in
from hpcmtl.training.multitask.method import CombinationMethod
from hpcmtl.training.multitask.shard_sums import Shards
from hpcmtl.training.multitask.totals import ObjectiveTotals
from hpcmtl.training.multitask.weighting import ObjectiveMeasurements
from hpcmtl.training.multitask.weightings.base import NoOptions, WeightingSetup
from hpcmtl.training.multitask.weightings.equal import Equal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hpcmtl.arrays import Arrays, Floats
    from hpcmtl.jobfile.weighting import WeightingChoice
    from hpcmtl.networks.objective import Objective
    from hpcmtl.training.learner import Learner
    from hpcmtl.training.multitask.weighting import WeightingInput
    from hpcmtl.training.step_input import StepInput
    from hpcmtl.training.strategies.base import SynchronisationStrategy

WEIGHTING, ROWS, LOSSES, LOSSES_AFTER = "weighting/", "weighting_rows/", "replica/step_losses", "replica/losses_after"
KNOWN_LOSSES = "replica/known_losses"
"""Names of state: prefixes of that of weightings and of that of coordinates, and losses of steps."""
MEASURED: frozenset[WeightingInput] = frozenset({"losses", "current_losses", "losses_after", "gramian", "epoch"})
"""Inputs of weightings that a training measures."""
_ROUNDING = 1e-9
_NOTHING: frozenset[WeightingInput] = frozenset()


class StepGradients:
    """Makes the gradients of the steps of a task, on one rank of a group; its methods are collective.

    Attributes:
        method: combination of the objectives.
        weights: weights of the newest step, one an objective; none before it, and for methods without weights.
        totals: weights, and angles between gradients, of the steps that were not recorded yet.
    """

    def __init__(self, method: CombinationMethod, objectives: Sequence[Objective], steps_per_epoch: int = 1) -> None:
        """Takes a method and the objectives, by whose weights each loss is multiplied before all else."""
        self.method, self._steps_per_epoch = method, steps_per_epoch
        self._factors = np.array([objective.weight for objective in objectives])
        self.weights: tuple[float, ...] = ()
        self.totals = ObjectiveTotals([objective.name for objective in objectives])
        self._needs = _NOTHING if method.weighting is None else method.weighting.needs
        self._by_losses = bool({"losses", "current_losses"} & self._needs)
        self._by_losses |= method.transform is not None and method.transform.needs_losses
        self._by_rows = method.weighting is None or method.transform is not None or "gramian" in self._needs
        self._losses: Floats | None = None  # of the newest step over the group, if `_known`
        self._known = True
        self._known_losses = KnownLosses(len(objectives))
        self._share_labelled = np.ones(len(objectives))  # of this rank's share of the newest batch
        self._labelled: Floats | None = None  # of the newest batch over the group, above 0 for those with a label
        self._after: Floats | None = None  # of the same batch, by the parameters after the update
        self._size: int | None = None  # number of values of the shared parameters, once it is known
        self._rows = np.zeros((0, 0), np.float32)  # of this rank
        self._row_state: Mapping[str, Any] = {}  # state of all coordinates, still to be cut for this group

    def compute(
        self, learner: Learner, strategy: SynchronisationStrategy, batch: StepInput, number: int
    ) -> float | None:
        """Computes losses and synchronised gradients of a step.

        Args:
            learner: learner of this rank.
            strategy: strategy that is open on the group.
            batch: this rank's share of the batch.
            number: number of steps of the task done before this one.

        Returns:
            The factor on the gradients in the update; None on all ranks alike: the step is skipped.

        Raises:
            TaskFailedError: the method cannot work with what was measured.
        """
        before = self._newest_losses(learner, strategy) if "losses" in self._needs else None
        measured = ObjectiveMeasurements(losses=before, losses_after=self._after, epoch=number // self._steps_per_epoch)
        if self._by_losses:
            self._share_labelled = labelled_in(batch, len(self._factors))
        self._known = False
        if self._by_rows:
            self._compute_by_rows(learner, strategy, batch, measured)
            return strategy.after_backward(learner, "private_gradients")
        scale = strategy.gradient_scale(batch.global_samples)
        if "current_losses" in self._needs:

            def by_losses(shares: Floats) -> Sequence[float]:
                losses = self._measured(shares, strategy)
                return self._weigh(replace(measured, current_losses=losses, labelled=self._labelled))

            learner.forward_backward(batch, by_losses, scale)
        else:
            learner.forward_backward(batch, self._weigh(measured), scale)
        return strategy.after_backward(learner)

    @property
    def measures_update(self) -> bool:
        """Returns whether the method needs `measure_update` after each step."""
        return "losses_after" in self._needs

    def measure_update(self, learner: Learner, strategy: SynchronisationStrategy, batch: StepInput) -> None:
        """Measures the losses of the step's batch by the updated parameters, with the random numbers of the step."""
        self._after = np.ascontiguousarray(learner.losses_of(batch) * self._factors)
        strategy.sum(self._after)

    def state(self, learner: Learner, strategy: SynchronisationStrategy) -> Arrays:
        """Returns copies of the state by name, equal on all ranks."""
        found: Arrays = {}
        if self.method.weighting is not None:
            found |= {WEIGHTING + name: array for name, array in self.method.weighting.state().items()}
        if "losses" in self._needs and (losses := self._newest_losses(learner, strategy)) is not None:
            found[LOSSES] = losses.copy()
        if not np.isnan(self._known_losses.values).all():
            found[KNOWN_LOSSES] = self._known_losses.values.copy()
        if self._after is not None:
            found[LOSSES_AFTER] = self._after.copy()
        rows = self._of_coordinates()
        if rows is not None and self._row_state:  # no step was taken since it was restored
            found |= {ROWS + name: array for name, array in self._row_state.items()}
        elif rows is not None:
            whole = self._shards(learner, strategy).gathered_state(rows.state())
            found |= {ROWS + name: array for name, array in whole.items()}
        return found

    def load_state(self, state: Mapping[str, np.ndarray[Any, Any]]) -> None:
        """Restores what `state` returned, on a group of any size; names that are missing take their initial values."""
        self._losses, self._known, self._after = state.get(LOSSES), True, state.get(LOSSES_AFTER)
        self._known_losses = KnownLosses(len(self._factors))
        self._known_losses.values = np.array(state.get(KNOWN_LOSSES, self._known_losses.values))
        if self.method.weighting is not None:
            self.method.weighting.load_state(_under(WEIGHTING, state))
        self._row_state = _under(ROWS, state)
        rows = self._of_coordinates()
        if rows is not None:
            rows.load_state({})

    def _weigh(self, measured: ObjectiveMeasurements) -> list[float]:
        """Returns the factors on the losses of a step."""
        assert self.method.weighting is not None
        self.weights = tuple(self.method.weighting.weights(measured))
        self.totals.add(self.weights, None)
        factors: list[float] = (np.array(self.weights) * self._factors).tolist()
        return factors

    def _measured(self, shares: Floats, strategy: SynchronisationStrategy) -> Floats:
        """Returns the mean losses of a batch over the group; the newest known ones where it has no label."""
        found = np.stack([shares * self._factors, self._share_labelled])
        strategy.sum(found)
        self._labelled = found[1]
        return self._known_losses.measured(*found)

    def _newest_losses(self, learner: Learner, strategy: SynchronisationStrategy) -> Floats | None:
        """Returns the mean losses of the newest step over the group, see `_measured`; None before the first."""
        if not self._known:
            shares = learner.newest_losses()
            self._losses, self._known = None if shares is None else self._measured(shares, strategy), True
        return self._losses

    def _compute_by_rows(
        self, learner: Learner, strategy: SynchronisationStrategy, batch: StepInput, measured: ObjectiveMeasurements
    ) -> None:
        """Computes the gradients: of the shared parameters over the group, of the others on this rank."""
        shards = self._shards(learner, strategy)
        rows_state = self._of_coordinates()
        if rows_state is not None and self._row_state:
            rows_state.load_state(shards.cut_state(dict(self._row_state)))
            self._row_state = {}
        scale, ranks = strategy.gradient_scale(batch.global_samples), strategy.group.size
        if self._rows.shape != (len(self._factors), shards.width):
            self._rows = np.zeros((len(self._factors), shards.width), np.float32)
        complete = learner.backward_each(batch, self._factors.tolist(), scale, self._rows)
        rows, loss_scale = shards.summed(self._rows, complete), scale * batch.global_samples / ranks
        loss_scale = 1.0 if abs(loss_scale - 1) < _ROUNDING else loss_scale
        if ranks * loss_scale != 1:
            rows /= np.float32(ranks * loss_scale)  # a rank's scale has its number of ranks, for the mean
        if self._by_losses:
            measured = replace(measured, current_losses=self._newest_losses(learner, strategy), labelled=self._labelled)
        skipped = loss_scale != 1 and not _finite(shards, rows)
        block = rows.sum(axis=0) if skipped else self._combined(shards, rows, measured)
        if loss_scale != 1:
            block = block * np.float32(loss_scale)
        _write(shards.gathered(block.astype(np.float32, copy=False)), _shared(learner))

    def _combined(
        self, shards: Shards, rows: np.ndarray[Any, Any], measured: ObjectiveMeasurements
    ) -> np.ndarray[Any, Any]:
        """Returns the update on this rank's shard."""
        method = self.method
        if method.combiner is not None:
            return method.combiner.combine(rows, shards.first)
        made = rows if method.transform is None else method.transform.transform(rows, measured.current_losses)
        gramian = shards.gramian(made)
        assert method.weighting is not None
        self.weights = tuple(method.weighting.weights(replace(measured, gramian=gramian)))
        self.totals.add(self.weights, _cosines(gramian))
        used = made if method.transform is not None and method.transform.combined else rows
        update: np.ndarray[Any, Any] = np.array(self.weights, used.dtype) @ used
        return update

    def _shards(self, learner: Learner, strategy: SynchronisationStrategy) -> Shards:
        if self._size is None:  # views wait for the steps under way
            self._size = sum(array.size for array in _shared(learner).values())
        return Shards(strategy.group, self._size)

    def _of_coordinates(self) -> Any:
        """Returns the part of the method that has a state for each coordinate; None if there is none."""
        return self.method.transform or self.method.combiner


def gradients_by(
    choice: WeightingChoice | None, objectives: Sequence[Objective], seed: int, steps_per_epoch: int
) -> StepGradients:
    """Returns the gradients of the steps of a task.

    Args:
        choice: how the objectives are combined; None for the sum of their losses times their weights.
        objectives: objectives of the task.
        seed: seed of the random numbers of the weighting.
        steps_per_epoch: number of steps in an epoch.
    """
    if choice is None:
        return weighted_sum(objectives)
    from hpcmtl.training.multitask.methods import make_method

    setup = WeightingSetup(objectives=tuple(objective.name for objective in objectives), seed=seed)
    return StepGradients(make_method(choice.name, choice.options, setup), objectives, steps_per_epoch)


def weighted_sum(objectives: Sequence[Objective]) -> StepGradients:
    """Returns the gradients of the sum of all losses, times the weights of the job file."""
    setup = WeightingSetup(objectives=tuple(objective.name for objective in objectives))
    return StepGradients(CombinationMethod(weighting=Equal(setup, NoOptions())), objectives)


def _shared(learner: Learner) -> Arrays:
    """Returns the gradients of the shared parameters, as views."""
    private = learner.views("private_gradients")
    return {name: array for name, array in learner.views("gradients").items() if name not in private}


def _write(values: np.ndarray[Any, Any], gradients: Arrays) -> None:
    start = 0
    for array in gradients.values():
        array[...] = values[start : start + array.size].reshape(array.shape)
        start += array.size


def _finite(shards: Shards, rows: np.ndarray[Any, Any]) -> bool:
    """Returns whether all rows are finite, the same on all ranks (collective); else a loss scale skips the step."""
    bad = np.array([0.0 if np.isfinite(rows).all() else 1.0])
    shards.group.Allreduce(bad, "max")
    return not bad[0]


def _cosines(gramian: Floats) -> Floats:
    norms = np.sqrt(np.maximum(gramian.diagonal(), 0.0))
    scale = np.where(norms > 0, norms, 1.0)
    cosines: Floats = gramian / scale[:, None] / scale
    return cosines


def _under(prefix: str, state: Mapping[str, np.ndarray[Any, Any]]) -> Arrays:
    return {name.removeprefix(prefix): array for name, array in state.items() if name.startswith(prefix)}

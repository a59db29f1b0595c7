"""The gradients of a step from those of the objectives: by weights, or by what a method makes of whole gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.jobfile.weighting import GradientMeasuring
from hpcmtl.training.multitask.group_step import GroupStep
from hpcmtl.training.multitask.held_weights import HeldStep, HeldWeights
from hpcmtl.training.multitask.local_gramians import LocalGramians
from hpcmtl.training.multitask.method import CombinationMethod
from hpcmtl.training.multitask.one_rank import ProductsOnOneRank
from hpcmtl.training.multitask.partial_gradients import PartialGradients
from hpcmtl.training.multitask.sharded_rows import ShardedRows
from hpcmtl.training.multitask.step_losses import StepLosses
from hpcmtl.training.multitask.totals import ObjectiveTotals
from hpcmtl.training.multitask.weighted_losses import WeightedLosses
from hpcmtl.training.multitask.weighting import ObjectiveMeasurements
from hpcmtl.training.multitask.weightings.base import NoOptions, WeightingSetup
from hpcmtl.training.multitask.weightings.equal import Equal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hpcmtl.arrays import Arrays, Floats
    from hpcmtl.jobfile.weighting import WeightingChoice
    from hpcmtl.networks.consistency import AnyLoss
    from hpcmtl.training.learner import Learner
    from hpcmtl.training.multitask.group_step import GradientRoute
    from hpcmtl.training.multitask.weighting import WeightingInput
    from hpcmtl.training.step_input import StepInput
    from hpcmtl.training.strategies.base import SynchronisationStrategy

WEIGHTING = "weighting/"
"""Prefix of the names of state of weightings."""
MEASURED: frozenset[WeightingInput] = frozenset(
    {"losses", "current_losses", "losses_after", "gramian", "cross_gramian", "epoch"}
)
"""Inputs of weightings that a training measures."""
OF_GRADIENTS: frozenset[WeightingInput] = frozenset({"gramian", "cross_gramian"})
"""Those that a training measures by gradients of the objectives."""
_NOTHING: frozenset[WeightingInput] = frozenset()
_EACH_STEP = GradientMeasuring()


class StepGradients:
    """Makes the gradients of the steps of a task, on one rank of a group; its methods are collective.

    Attributes:
        method: combination of the objectives.
        weights: weights of the newest step, one an objective; none before it, and for methods without weights.
        totals: weights, and angles between gradients, of the steps that were not recorded yet.
        taking_part: numbers of the objectives that the newest step trains; None where each step trains all.
    """

    taking_part: tuple[int, ...] | None = None

    def __init__(
        self,
        method: CombinationMethod,
        objectives: Sequence[AnyLoss],
        steps_per_epoch: int = 1,
        measuring: GradientMeasuring = _EACH_STEP,
    ) -> None:
        """Takes a method, the objectives, by whose weights each loss is multiplied before all else, and the measuring.

        Args:
            method: combination of the objectives.
            objectives: the objectives.
            steps_per_epoch: number of steps in an epoch.
            measuring: how a method measures gradients.
        """
        self.method, self._steps_per_epoch = method, steps_per_epoch
        self.weights: tuple[float, ...] = ()
        self.totals = ObjectiveTotals([objective.name for objective in objectives], measuring)
        self._needs = _NOTHING if method.weighting is None else method.weighting.needs
        of_rows = method.transform is not None and method.transform.needs_losses
        needed = of_rows or bool({"losses", "current_losses"} & self._needs)
        self._losses = StepLosses(objectives, needed=needed, kept="losses" in self._needs)
        by_rows = method.weighting is None or method.transform is not None or bool(OF_GRADIENTS & self._needs)
        self._sharded: ShardedRows | None = None
        self._route: GradientRoute = WeightedLosses(by_current_losses="current_losses" in self._needs)
        self._held_step = HeldStep()
        if by_rows and measuring.biased:
            self._route = LocalGramians(len(objectives))
        elif by_rows and measuring.gradients_at != "shared":
            self._route = PartialGradients(measuring.gradients_at)
        elif by_rows:
            self._route = self._sharded = ShardedRows(method, len(objectives))
            if method.transform is None and "gramian" in self._needs and "cross_gramian" not in self._needs:
                self._route = ProductsOnOneRank(self._sharded)
        self._held = HeldWeights(measuring.every)

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
        due, losses = self._held.due(number), self._losses
        before = losses.newest(learner, strategy) if "losses" in self._needs else None
        step = GroupStep(
            learner=learner,
            strategy=strategy,
            batch=batch,
            measured=ObjectiveMeasurements(
                losses=before, losses_after=losses.after, epoch=number // self._steps_per_epoch
            ),
            losses=losses,
            weigh=self._weigh if due else self._hold,
        )
        losses.begin(batch)
        return (self._route if due else self._held_step).compute(step)

    @property
    def measures_update(self) -> bool:
        """Returns whether the method needs `measure_update` after each step."""
        return "losses_after" in self._needs

    def measure_update(self, learner: Learner, strategy: SynchronisationStrategy, batch: StepInput) -> None:
        """Measures the losses of the step's batch by the updated parameters, with the random numbers of the step."""
        self._losses.measure_update(learner, strategy, batch)

    def state(self, learner: Learner, strategy: SynchronisationStrategy) -> Arrays:
        """Returns copies of the state by name, equal on all ranks."""
        found: Arrays = {}
        if self.method.weighting is not None:
            found |= {WEIGHTING + name: array for name, array in self.method.weighting.state().items()}
        found |= self._losses.state(learner, strategy) | self._held.state()
        return found if self._sharded is None else found | self._sharded.state(learner, strategy)

    def load_state(self, state: Mapping[str, np.ndarray[Any, Any]]) -> None:
        """Restores what `state` returned, on a group of any size; names that are missing take their initial values."""
        self._losses.load_state(state)
        self._held.load_state(state)
        if self.method.weighting is not None:
            own = {name.removeprefix(WEIGHTING): each for name, each in state.items() if name.startswith(WEIGHTING)}
            self.method.weighting.load_state(own)
        if self._sharded is not None:
            self._sharded.load_state(state)

    def _weigh(self, measured: ObjectiveMeasurements, gramian: Floats | None) -> Floats:
        """Returns new weights of the objectives."""
        assert self.method.weighting is not None
        weights = np.array(self.method.weighting.weights(measured), dtype=np.float64)
        self._held.values = weights
        return self._recorded(weights, None if gramian is None else _cosines(gramian))

    def _hold(self, measured: ObjectiveMeasurements, gramian: Floats | None) -> Floats:  # noqa: ARG002 - as `_weigh`
        """Returns the weights of the step before."""
        assert self._held.values is not None
        return self._recorded(self._held.values, None)

    def _recorded(self, weights: Floats, cosines: Floats | None) -> Floats:
        self.weights = tuple(weights.tolist())
        self.totals.add(self.weights, cosines)
        return weights


def gradients_by(
    choice: WeightingChoice | None, objectives: Sequence[AnyLoss], seed: int, steps_per_epoch: int
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
    return StepGradients(make_method(choice.name, choice.options, setup), objectives, steps_per_epoch, choice)


def weighted_sum(objectives: Sequence[AnyLoss]) -> StepGradients:
    """Returns the gradients of the sum of all losses, times the weights of the job file; nothing of it is recorded."""
    setup = WeightingSetup(objectives=tuple(objective.name for objective in objectives))
    made = StepGradients(CombinationMethod(weighting=Equal(setup, NoOptions())), objectives)
    made.totals = ObjectiveTotals(())
    return made


def _cosines(gramian: Floats) -> Floats:
    norms = np.sqrt(np.maximum(gramian.diagonal(), 0.0))
    scale = np.where(norms > 0, norms, 1.0)
    cosines: Floats = gramian / scale[:, None] / scale
    return cosines

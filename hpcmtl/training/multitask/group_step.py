"""One step of a group, and the seam of the ways to its gradients."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from hpcmtl.arrays import Arrays, Floats
    from hpcmtl.training.learner import Learner
    from hpcmtl.training.multitask.step_losses import StepLosses
    from hpcmtl.training.multitask.weighting import ObjectiveMeasurements
    from hpcmtl.training.step_input import StepInput
    from hpcmtl.training.strategies.base import SynchronisationStrategy


@dataclass(frozen=True, kw_only=True)
class GroupStep:
    """One step of a group, on one rank of it.

    Attributes:
        learner: learner of this rank.
        strategy: strategy that is open on the group.
        batch: this rank's share of the batch.
        measured: measurements that are known before the passes of the step.
        losses: losses of the objectives.
        weigh: function of all measurements, and of the Gramian that angles are taken from (None if there is none); it
            returns the weights of the step, one an objective.
    """

    learner: Learner
    strategy: SynchronisationStrategy
    batch: StepInput
    measured: ObjectiveMeasurements
    losses: StepLosses
    weigh: Callable[[ObjectiveMeasurements, Floats | None], Floats]

    @property
    def scale(self) -> float:
        """Factor on the losses of this rank, of which the mean over the group is that over the batch."""
        return self.strategy.gradient_scale(self.batch.global_samples)

    @property
    def loss_scale(self) -> float:
        """Factor on all gradients that keeps them in the range of fp16; 1 without one."""
        found = self.scale * self.batch.global_samples / self.strategy.group.size
        return 1.0 if abs(found - 1) < _ROUNDING else found

    def with_newest_losses(self) -> ObjectiveMeasurements:
        """Returns the measurements with the losses of this step, after its passes (collective)."""
        if not self.losses.needed:
            return self.measured
        newest = self.losses.newest(self.learner, self.strategy)
        return replace(self.measured, current_losses=newest, labelled=self.losses.labelled)


_ROUNDING = 1e-9


class GradientRoute(Protocol):
    """Computes the synchronised gradients of steps; its methods are collective."""

    def compute(self, step: GroupStep) -> float | None:
        """Computes losses and gradients.

        Returns:
            The factor on the gradients in the update; None on all ranks alike: the step is skipped.
        """
        ...


def shared_gradients(learner: Learner) -> Arrays:
    """Returns the gradients of the shared parameters, as views."""
    private = learner.views("private_gradients")
    return {name: array for name, array in learner.views("gradients").items() if name not in private}

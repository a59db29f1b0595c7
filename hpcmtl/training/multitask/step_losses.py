"""The losses of the objectives in the steps of a task, over the whole group's batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.training.multitask.known_losses import KnownLosses, labelled_in

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hpcmtl.arrays import Arrays, Floats
    from hpcmtl.networks.consistency import AnyLoss
    from hpcmtl.training.learner import Learner
    from hpcmtl.training.step_input import StepInput
    from hpcmtl.training.strategies.base import SynchronisationStrategy

LOSSES, LOSSES_AFTER, KNOWN_LOSSES = "replica/step_losses", "replica/losses_after", "replica/known_losses"
"""Names of state."""


class StepLosses:
    """Measures the losses of the newest step; its methods are collective.

    Attributes:
        factors: (objectives,) weights of the job file, by which each loss is multiplied before all else.
        needed: whether any of them are measured.
        labelled: (objectives,) above 0 for those with a label in the newest batch that was measured; None before it.
        after: (objectives,) losses of the newest batch by the parameters after its update; None if not measured.
    """

    def __init__(self, objectives: Sequence[AnyLoss], *, needed: bool, kept: bool) -> None:
        """Takes the objectives, whether their losses are needed, and whether those of one step at the next step."""
        self.factors, self.needed, self._kept = np.array([each.weight for each in objectives]), needed, kept
        self.labelled: Floats | None = None
        self.after: Floats | None = None
        self._newest: Floats | None = None  # of the newest step over the group, if `_measured`
        self._measured = True
        self._share_labelled = np.ones(len(self.factors))  # of this rank's share of the newest batch
        self._known = KnownLosses(len(self.factors))

    def begin(self, batch: StepInput) -> None:
        """Takes note of a step that begins; `newest` are those of this step from here on."""
        self._measured = False
        if self.needed:
            self._share_labelled = labelled_in(batch, len(self.factors))

    def mean(self, shares: Floats, strategy: SynchronisationStrategy) -> Floats:
        """Returns the mean losses of a batch over the group; the newest known ones where it has no label.

        Args:
            shares: this rank's shares of the mean losses.
            strategy: strategy that is open on the group.
        """
        found = np.stack([shares * self.factors, self._share_labelled])
        strategy.sum(found)
        self.labelled = found[1]
        return self._known.measured(*found)

    def newest(self, learner: Learner, strategy: SynchronisationStrategy) -> Floats | None:
        """Returns the mean losses of the newest step over the group, see `mean`; None before the first."""
        if not self._measured:
            shares = learner.newest_losses()
            self._newest, self._measured = None if shares is None else self.mean(shares, strategy), True
        return self._newest

    def measure_update(self, learner: Learner, strategy: SynchronisationStrategy, batch: StepInput) -> None:
        """Measures the losses of the step's batch by the updated parameters, with the random numbers of the step."""
        self.after = np.ascontiguousarray(learner.losses_of(batch) * self.factors)
        strategy.sum(self.after)

    def state(self, learner: Learner, strategy: SynchronisationStrategy) -> Arrays:
        """Returns copies of the state by name, equal on all ranks."""
        found: Arrays = {}
        if self._kept and (losses := self.newest(learner, strategy)) is not None:
            found[LOSSES] = losses.copy()
        if not np.isnan(self._known.values).all():
            found[KNOWN_LOSSES] = self._known.values.copy()
        if self.after is not None:
            found[LOSSES_AFTER] = self.after.copy()
        return found

    def load_state(self, state: Mapping[str, np.ndarray[Any, Any]]) -> None:
        """Restores what `state` returned; names that are missing take their initial values."""
        self._newest, self._measured, self.after = state.get(LOSSES), True, state.get(LOSSES_AFTER)
        self._known = KnownLosses(len(self.factors))
        self._known.values = np.array(state.get(KNOWN_LOSSES, self._known.values))

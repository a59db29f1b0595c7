"""The parameters after the best epoch of a training, which are published in the place of the last ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpcmtl.results.undefined import from_facts, to_facts
from hpcmtl.training.sessions.parts import SessionPart

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hpcmtl.arrays import Arrays
    from hpcmtl.training.checkpointing.content import Checkpoint
    from hpcmtl.training.learner import Learner
    from hpcmtl.training.sessions.monitored import Monitored
    from hpcmtl.training.sessions.parts import EpochEnd

BEST = "best/"
"""Prefix of the parameters in a checkpoint."""
BEST_EPOCH = "best_epoch"
"""Name of the number of the epoch, from 0, among the metrics of a task."""
_FACT = "best_state"


class BestState(SessionPart):
    """Keeps a copy of the parameters after the best epoch; equal on all ranks."""

    acts_on_epochs = True

    def __init__(self, monitored: Monitored) -> None:
        """Takes the metric by which epochs are compared."""
        self._monitored = monitored
        self._parameters: Arrays = {}
        self._metrics: dict[str, float] = {}

    def facts(self) -> Mapping[str, Any]:
        """See `SessionPart`."""
        return {_FACT: {**self._monitored.facts(), "metrics": to_facts(self._metrics)}}

    def state(self) -> Arrays:
        """See `SessionPart`."""
        return {BEST + name: array for name, array in self._parameters.items()}

    def load(self, found: Checkpoint) -> None:
        """See `SessionPart`."""
        facts = found.facts.get(_FACT, {})
        self._monitored, self._metrics = self._monitored.loaded(facts), from_facts(facts.get("metrics", {}))
        self._parameters = {n.removeprefix(BEST): array for n, array in found.state.items() if n.startswith(BEST)}

    def epoch_ended(self, end: EpochEnd) -> bool:
        """See `SessionPart`; it never interrupts."""
        self._monitored = self._monitored.after(end)
        if self._monitored.best_epoch == end.epoch:
            end.replica.consolidate()  # running statistics of a rank alone are not those that the task publishes
            self._parameters = end.replica.learner.parameters_matching("*")
            self._metrics = {**end.losses, **end.metrics}
        return False

    def restore(self, learner: Learner) -> dict[str, float]:
        """Gives a learner the best parameters, which need not be kept any more; returns their metrics and epoch.

        The last parameters stay where no epoch had a value of the metric; nothing is returned then.
        """
        if self._parameters:
            learner.set_parameters(self._parameters)
            self._parameters = {}
        found = self._metrics
        return {**found, BEST_EPOCH: float(self._monitored.best_epoch)} if self._monitored.best is not None else {}

"""Early stopping of a training, or of single heads, by metrics at the ends of epochs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpcmtl.results.events import TrainingStopped
from hpcmtl.training.kinds.monitors import direction
from hpcmtl.training.sessions.monitored import Monitored
from hpcmtl.training.sessions.parts import SessionPart

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hpcmtl.training.checkpointing.content import Checkpoint
    from hpcmtl.training.kinds.course_schemas import EarlyStoppingKeys
    from hpcmtl.training.sessions.parts import EpochEnd

TASK = ""
"""The name under which the whole task stands beside its heads."""
_FACT = "early_stopping"


class EarlyStopping(SessionPart):
    """Stops a task, or heads of it, that do not improve any more; the same on all ranks.

    Attributes:
        stopped: name of each head that was stopped, or `TASK` -> epoch after which it was.
    """

    def __init__(self, keys: Mapping[str, EarlyStoppingKeys], heads: int) -> None:
        """Takes the keys of the task and of its heads, by name, and the number of all heads."""
        self._keys, self._heads = dict(keys), heads
        self._monitored = {name: monitored_by(each, name) for name, each in keys.items()}
        self.acts_on_epochs = bool(keys)
        self.stopped: dict[str, int] = {}

    @property
    def over(self) -> bool:
        """Returns whether no step is left: the task was stopped, or all its heads."""
        return TASK in self.stopped or len(self.stopped) == self._heads

    @property
    def stopped_heads(self) -> frozenset[str]:
        """Returns the heads that are not trained any more."""
        return frozenset(self.stopped) - {TASK}

    def facts(self) -> Mapping[str, Any]:
        """See `SessionPart`."""
        if not self._keys:
            return {}
        monitored = {name: each.facts() for name, each in self._monitored.items()}
        return {_FACT: {"stopped": dict(self.stopped), "monitored": monitored}}

    def load(self, found: Checkpoint) -> None:
        """See `SessionPart`."""
        facts = found.facts.get(_FACT, {})
        self.stopped = {name: int(epoch) for name, epoch in facts.get("stopped", {}).items()}
        known = facts.get("monitored", {})
        self._monitored = {name: each.loaded(known.get(name, {})) for name, each in self._monitored.items()}

    def epoch_ended(self, end: EpochEnd) -> bool:
        """See `SessionPart`; training is interrupted where something is stopped from here on."""
        new = []
        for name, keys in self._keys.items():
            if name in self.stopped:
                continue
            monitored = self._monitored[name] = self._monitored[name].after(end)
            if monitored.epochs_without(end) >= keys.patience:
                new.append(name)
        if end.is_last:
            return False  # there is nothing left to be stopped
        for name in new:
            self.stopped[name] = end.epoch
            self._record(name, end)
        return bool(new)

    def _record(self, name: str, end: EpochEnd) -> None:
        monitored, context = self._monitored[name], end.context
        if context.group.rank == 0:
            context.record(
                TrainingStopped(
                    task=context.task,
                    head=name,
                    epoch=end.epoch,
                    step=end.step,
                    monitor=monitored.name,
                    best=monitored.best,
                    best_epoch=monitored.best_epoch,
                )
            )


def monitored_by(keys: EarlyStoppingKeys, head: str = TASK) -> Monitored:
    """Returns the metric of some keys before the first epoch; that of a head has its name before it."""
    name = f"{head}.{keys.monitor}" if head else keys.monitor
    better = direction(name, keys.mode)
    assert better is not None, "the checks ask for a mode"
    return Monitored(name=name, better=better, min_delta=keys.min_delta, start_epoch=keys.start_epoch)

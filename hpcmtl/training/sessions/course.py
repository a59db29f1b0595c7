"""The course of one training: what ends it or a head, what is frozen when, and which parameters it publishes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hpcmtl.training.frozen_patterns import changes, frozen_at, temporary
from hpcmtl.training.kinds.monitors import direction
from hpcmtl.training.sessions.best_state import BestState
from hpcmtl.training.sessions.early_stopping import EarlyStopping, monitored_by
from hpcmtl.training.sessions.l2_sp import L2SP
from hpcmtl.training.sessions.monitored import Monitored

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from hpcmtl.networks.objective import Objective
    from hpcmtl.training.kinds.schemas import Trained
    from hpcmtl.training.learner import Learner
    from hpcmtl.training.sessions.parts import SessionPart


class Course:
    """Decides what is trained in each epoch of a task, the same on all ranks.

    Attributes:
        penalty: what is added to the gradients of each step; None for nothing.
        parts: what it keeps in checkpoints, and does at the ends of epochs.
    """

    def __init__(self, task: Trained, objectives: Sequence[Objective]) -> None:
        """Takes a task and its objectives."""
        self._task, self._objectives = task, tuple(objectives)
        self._stopping = EarlyStopping(task.stopping(), len(objectives))
        self._best = BestState(_monitored_best(task)) if task.keep.state == "best" else None
        self.penalty = None if task.l2_sp is None else L2SP(task.l2_sp)
        optional: list[SessionPart | None] = [self._best, self.penalty]
        self.parts: tuple[SessionPart, ...] = (self._stopping, *(part for part in optional if part is not None))

    @property
    def over(self) -> bool:
        """Returns whether no step is left, before the last epoch."""
        return self._stopping.over

    def frozen(self, epoch: int) -> tuple[str, ...]:
        """Returns the patterns of the parameters that are not trained in an epoch."""
        return (*frozen_at(self._task.freeze, epoch), *self._of_stopped_heads())

    def frozen_for_now(self, epoch: int) -> tuple[str, ...]:
        """Returns those of `frozen` that are trained in other epochs."""
        patterns = {*temporary(self._task.freeze), *self._of_stopped_heads()}
        return tuple(pattern for pattern in self.frozen(epoch) if pattern in patterns)

    def next_change(self, epoch: int) -> int:
        """Returns the first later epoch in which other parameters are frozen; that behind the last one at most."""
        return next((each for each in changes(self._task.freeze) if each > epoch), self._task.epochs)

    def objectives(self) -> tuple[Objective, ...]:
        """Returns the objectives; those of stopped heads have no weight any more."""
        stopped = self._stopping.stopped_heads
        return tuple(replace(each, weight=0.0) if each.name in stopped else each for each in self._objectives)

    def begin(self, learner: Learner, taken: Collection[str]) -> None:
        """Begins with the first parameters of a learner; `taken` are the names of those that come from other tasks."""
        if self.penalty is not None:
            self.penalty.begin(learner, taken)

    def restore(self, learner: Learner) -> dict[str, float]:
        """Gives a learner the parameters that are published; returns metrics that belong to them."""
        return {} if self._best is None else self._best.restore(learner)

    def _of_stopped_heads(self) -> list[str]:
        return [f"heads.{name}.*" for name in sorted(self._stopping.stopped_heads)]


def _monitored_best(task: Trained) -> Monitored:
    """Returns the metric by which the best epoch of a task is found."""
    if task.keep.monitor is not None:
        better = direction(task.keep.monitor, task.keep.mode)
        assert better is not None, "the checks ask for a mode"
        return Monitored(name=task.keep.monitor, better=better)
    assert task.early_stopping is not None, "the checks ask for one of both"
    return replace(monitored_by(task.early_stopping), min_delta=0.0, start_epoch=0)

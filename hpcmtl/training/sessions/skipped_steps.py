"""Count of the steps of a task without an update, because a gradient was too large for fp16; over all its sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpcmtl.errors import TaskFailedError
from hpcmtl.training.sessions.parts import SessionPart

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hpcmtl.training.checkpointing.content import Checkpoint
    from hpcmtl.training.sessions.replicas import ReplicaOfEpoch

_FACT = "skipped_steps"  # name of the count among the facts of a checkpoint


class NothingTrainedError(TaskFailedError):
    """All steps of a task were skipped: its parameters are the initial ones; a retry would skip them again."""

    may_retry = False


class SkippedSteps(SessionPart):
    """Counts the skipped steps of a task.

    Args:
        made: holder of the present replica, which counts those of the session.
    """

    def __init__(self, made: ReplicaOfEpoch) -> None:
        self._made, self._before = made, 0

    @property
    def count(self) -> int:
        """Number of steps without an update since the first step of the task."""
        return self._before + self._made.replica.skipped_steps

    def facts(self) -> Mapping[str, Any]:
        """See `SessionPart`."""
        return {_FACT: self.count}

    def load(self, found: Checkpoint) -> None:
        """See `SessionPart`; earlier versions have no count."""
        self._before = int(found.facts.get(_FACT, 0)) - self._made.replica.skipped_steps

    def require_updates(self, task: str, steps: int) -> None:
        """Refuses a task of which no step made an update.

        Raises:
            NothingTrainedError: on all ranks, as the count is the same on all.
        """
        if self.count == steps:
            text = f"task {task}: none of its {steps} steps made an update: their gradients are too large for fp16"
            remedy = "write `compression: none` and `precision: fp32`, or scale inputs and targets down"
            raise NothingTrainedError(f"{text} at each loss scale that was tried; {remedy}")

"""Synchronisation points of a group that trains: ranks agree on losses, failures, requests and pace."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.errors import TaskFailedError
from hpcmtl.training.loss_totals import NO_LOSSES, LossTotals, totals_of

if TYPE_CHECKING:
    from hpcmtl.arrays import Floats
    from hpcmtl.communicators.base import Communicator
    from hpcmtl.training.step_range import Hooks, StepRange

SECONDS_BETWEEN_AGREEMENTS = 1.0
MOST_STEPS_BETWEEN_AGREEMENTS = 200
_NEVER = float("inf")


class Agreement:
    """Synchronisation points of a group: losses, failures, requests and pace are agreed on by Allreduce.

    Between two points a step sends no message but those of the synchronisation strategy. Each point fixes the step of
    the next one, from the pace of the slowest rank. So all ranks reach it at the same step, and no rank waits for one
    that trained on.
    """

    def __init__(self, step_range: StepRange, group: Communicator, hooks: Hooks) -> None:
        self.step_range = step_range
        self.group, self.hooks = group, hooks
        self.schedule, self._rate = step_range.schedule, step_range.rate
        self._last = self._known = step_range.start
        self.losses = np.zeros((0, len(step_range.losses)))  # of the group, by known step of the newest epoch
        self.shares: list[Floats] = []  # for these and all later steps, what they count in the mean over an epoch
        self._last_at = time.perf_counter()
        self.next = step_range.start + 1
        self.pace = 0.0  # seconds a step
        self.saving = False  # whether a checkpoint is made at the next point

    def agree(self, step: int, losses: np.ndarray[Any, Any], stop: bool) -> bool:
        """Takes part in the synchronisation point before `step` (collective).

        Args:
            step: step that comes next.
            losses: (steps whose losses are new, objectives), this rank's share.
            stop: whether this rank requests a stop.

        Returns:
            Whether the group stops; the same on all ranks.

        Raises:
            TaskFailedError: on all ranks, if a loss of any rank was not finite.
        """
        bad = np.flatnonzero(~np.isfinite(losses).all(axis=1))
        first_bad = float(self._known + bad[0]) if len(bad) else _NEVER
        seconds = time.perf_counter() - self._last_at
        due = self.hooks.save is not None and not self.saving and self.hooks.save_due()
        agreed = np.array([first_bad, -float(stop), -seconds, float(self.hooks.newest_rate()), -float(due)])
        self.group.Allreduce(agreed, "min")
        if agreed[0] != _NEVER:
            self._fail(int(agreed[0]), losses)
        total = np.ascontiguousarray(losses)
        if total.size:
            self.group.Allreduce(total)
        self._keep(total)
        self.pace = -agreed[2] / max(step - self._last, 1)
        if agreed[3] > self._rate and self.hooks.rate_agreed is not None:
            self._rate = int(agreed[3])
            self.schedule = self.hooks.rate_agreed(self._rate, step)
        ahead = int(SECONDS_BETWEEN_AGREEMENTS / max(self.pace, 1e-9))
        self.saving = bool(agreed[4] < 0)
        self._last, self._last_at = step, time.perf_counter()
        self.next = step + min(max(ahead, 1), MOST_STEPS_BETWEEN_AGREEMENTS)
        return bool(agreed[1] < 0)

    def totals(self) -> LossTotals:
        """Returns the totals of the newest epoch, with the steps that were taken before these."""
        count = len(self.losses)
        if not count:
            return self.step_range.before
        mine = totals_of(self.losses, np.array(self.shares[:count]))
        return self.step_range.before.plus(mine) if self._known_in_epoch > count else mine

    def carried(self, step: int) -> LossTotals:
        """Returns the totals of the epoch of `step`, which comes next; none at the start of an epoch."""
        return self.totals() if step % self.step_range.steps_per_epoch else NO_LOSSES

    @property
    def _known_in_epoch(self) -> int:
        """Number of steps of the newest epoch whose losses are known, those before the first step included."""
        return (self._known - 1) % self.step_range.steps_per_epoch + 1

    def _keep(self, losses: Floats) -> None:
        """Adds losses of the group, and drops those of all epochs but the newest."""
        self._known += len(losses)
        before = len(self.losses)
        self.hooks.recorder.losses_known(self._known, losses, np.array(self.shares[before : before + len(losses)]))
        known = np.concatenate([self.losses, losses])
        old = max(len(known) - self._known_in_epoch, 0)
        self.losses = known[old:]
        del self.shares[:old]

    def _fail(self, bad: int, losses: np.ndarray[Any, Any]) -> None:
        step_range = self.step_range
        total = np.ascontiguousarray(losses[bad - self._known])
        self.group.Allreduce(total)
        names = [f"{n} = {v}" for n, v in zip(step_range.losses, total, strict=True) if not np.isfinite(v)]
        epoch = bad // step_range.steps_per_epoch
        raise TaskFailedError(
            f"task {step_range.task}, layer {step_range.layer}, step {bad} (epoch {epoch}): the loss is not finite "
            f"({', '.join(names)}). A smaller learning rate, a warm-up or cleaner data may help"
        )

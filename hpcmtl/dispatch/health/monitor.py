"""Keeps watch over ranks: who has not been heard of for too long is named, and who hangs is killed.

Rank 0 keeps watch over all others. Over rank 0 itself its deputy does: the first other rank of its node, or else rank
1, which can only name it. What it says of rank 0 goes to the log, for it is rank 0 that keeps the ledger.

A rank whose file system does not answer cannot beat if it is the one that keeps the ledger, and is well otherwise:
where that can be seen, on the same node, nobody is killed for it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from hpcmtl.dispatch.coordinator.state import UnrecoverableError
from hpcmtl.dispatch.health.failure_detector import FailureDetector
from hpcmtl.dispatch.health.watchdog import FenceCommand, Watchdog, fence
from hpcmtl.launch.resources.facts import waits_for_disk
from hpcmtl.results.events import RankHung, RankLost, RankRecovered, RankSuspected, RunEvent
from hpcmtl.results.sinks.log_warnings import sentence

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hpcmtl.communicators.base import Communicator, SendHandle
    from hpcmtl.dispatch.health.failure_detector import Silence
    from hpcmtl.dispatch.health.timing import HeartbeatTiming
    from hpcmtl.dispatch.health.watchdog import HungRank
    from hpcmtl.results.heartbeat import Heartbeat

_log = logging.getLogger(__name__)

_LOOKS_A_BEAT = 4


Record = Callable[[RunEvent], None]
"""Writes an event of a rank to the ledger, or to the log."""


class HealthMonitor:
    """What one rank knows of those that it keeps watch over."""

    def __init__(
        self, comm: Communicator, hosts: Sequence[str], timing: HeartbeatTiming, record: Record, now: float
    ) -> None:
        """Begin.

        Args:
            comm: of the control threads.
            hosts: of each rank.
            timing: intervals of the heartbeat and of the watchdog.
            record: where to say it.
            now: seconds.
        """
        self._comm, self._hosts, self._record = comm, hosts, record
        self._interval = timing.interval
        watched = [0] if comm.rank else range(1, comm.size)
        self._watch = FailureDetector(watched, self._interval, now)
        # From another node it cannot be told whether rank 0 hangs or waits for its file system.
        self._watchdog = Watchdog(hosts, timing.hung if hosts[comm.rank] == hosts[0] else 0.0)
        self._latest: dict[int, Heartbeat] = {}
        self._steps: dict[str, int] = {}
        self._looked = now
        self._orders: list[SendHandle] = []  # kept until the end: a request that is dropped may never leave

    def note_step(self, task: str, step: int) -> None:
        """A task has come so far."""
        self._steps[task] = step

    def heard(self, beats: Iterable[Heartbeat], now: float) -> None:
        """Ranks have beaten."""
        for beat in beats:
            self._latest[beat.rank] = beat
            if (silence := self._watch.heard(beat.rank, now)) is not None:
                self._tell(silence)

    def look(self, now: float) -> None:
        """Name who is silent, and have killed who hangs; no more often than makes sense.

        Raises:
            UnrecoverableError: a rank hangs that nobody can kill.
        """
        if now - self._looked <= self._interval / _LOOKS_A_BEAT:
            return
        self._looked = now
        for silence in self._watch.check(now):
            self._tell(silence)
        ages = {rank: self._watch.age(rank, now) for rank in self._watch.suspects if not self._waits_for_disk(rank)}
        for hung in self._watchdog.look({rank: (age, age - self._watch.patience) for rank, age in ages.items()}, now):
            self._declare_dead(hung)

    def lost(self, survivors: Sequence[int]) -> None:
        """Ranks have died: all but these; who kept watch over them says what they were at."""
        for rank in sorted(set(self._watch.watched).difference(survivors)):
            self._record(RankLost(rank=rank, host=self._hosts[rank], **self._at(rank)))

    def succeeded_by(self, other: HealthMonitor) -> None:
        """Leave what is known of tasks to the one that goes on in its place."""
        other._steps = self._steps

    def _waits_for_disk(self, rank: int) -> bool:
        last = self._latest.get(rank)
        return last is not None and self._hosts[rank] == self._hosts[self._comm.rank] and waits_for_disk(last.pid)

    def _declare_dead(self, hung: HungRank) -> None:
        last = self._latest.get(hung.rank)
        doing = last.doing if last is not None else "nothing that is known of"
        seconds = round(hung.seconds, 1)
        self._record(RankHung(rank=hung.rank, host=hung.host, seconds=seconds, doing=doing, fenced_by=hung.killer))
        if last is None or hung.killer is None:
            why = "no other rank is on its host" if last is not None else "its process is not known"
            raise UnrecoverableError(f"rank {hung.rank} on {hung.host} hangs, and cannot be killed: {why}")
        order = FenceCommand(hung.rank, last.pid, last.born)
        if hung.killer == self._comm.rank:
            fence(order)
        else:
            self._orders.append(self._comm.isend(order, hung.killer))

    def _tell(self, silence: Silence) -> None:
        kind = RankRecovered if silence.back else RankSuspected
        self._record(kind(rank=silence.rank, seconds=round(silence.seconds, 1), **self._at(silence.rank)))

    def _at(self, rank: int) -> dict[str, Any]:
        """What a rank was at when it was last heard of; nothing if it waited for work."""
        last = self._latest.get(rank)
        if last is None or not last.task:
            return {}
        return {"task": last.task, "layer": last.layer, "step": self._steps.get(last.task, 0)}


def standby_monitor_of(hosts: Sequence[str]) -> int | None:
    """Who keeps watch over rank 0; None if it is alone."""
    near = (rank for rank in range(1, len(hosts)) if hosts[rank] == hosts[0])
    return next(near, 1 if len(hosts) > 1 else None)


def log_event(event: RunEvent) -> None:
    """Writes an event of a rank to the log of a rank that cannot reach the ledger."""
    _log.log(logging.ERROR if isinstance(event, RankHung) else logging.WARNING, "%s", sentence(event))

"""The heartbeat: every few seconds each rank says how it is, and each node sends one message of it to rank 0.

The ranks of a node tell its first rank, which sends what it heard on with its own; rank 0 tells its deputy, see
`monitor`. All travels on the communicator of the control threads; no message is sent before the last one has left, so
that nothing piles up at a rank that sleeps.
"""

from __future__ import annotations

import logging
import os
import time
from threading import Event
from typing import TYPE_CHECKING, Protocol

from hpcmtl.communicators.polling import next_message
from hpcmtl.dispatch.health.beats import Heartbeats
from hpcmtl.dispatch.health.monitor import HealthMonitor, log_event, standby_monitor_of
from hpcmtl.dispatch.health.watchdog import FenceCommand, fence
from hpcmtl.dispatch.protocol import LayerDone, LayerFailed, ProgressReport, RunLayer
from hpcmtl.launch.resources.facts import born_at, memory_now
from hpcmtl.results.heartbeat import Heartbeat
from hpcmtl.results.hosts import blocks_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hpcmtl.communicators.base import Communicator, SendHandle
    from hpcmtl.dispatch.health.timing import HeartbeatTiming
    from hpcmtl.dispatch.protocol import Command, Report
    from hpcmtl.results.events import RunEvent

_log = logging.getLogger(__name__)

SECONDS_BEFORE_FIRST_BEAT = 1.0  # at most
SECONDS_FOR_FAREWELL = 30.0


class Listener(Protocol):
    """Who wants to know on rank 0."""

    def record(self, event: RunEvent) -> None:
        """Writes an event to the ledger and shows it."""
        ...

    def heard(self, beats: Iterable[Heartbeat]) -> None:
        """Heartbeats have come in."""
        ...


class HeartbeatSender:
    """The heart of one rank, for its control thread alone."""

    def __init__(
        self, comm: Communicator, hosts: Sequence[str], timing: HeartbeatTiming, listener: Listener | None
    ) -> None:
        """Start to beat.

        Args:
            comm: of the control threads.
            hosts: of each rank; the first rank of a host sends for all of it.
            timing: intervals of the heartbeat and of the watchdog.
            listener: on rank 0.
        """
        now = time.monotonic()
        self._comm, self._listener, self._hosts = comm, listener, tuple(hosts)
        self._timing = timing
        nodes, standby_monitor = blocks_of(hosts), standby_monitor_of(hosts)
        node = nodes[hosts[comm.rank]]
        self._to = standby_monitor if comm.rank == 0 else node[0] if node[0] != comm.rank else 0
        below = set(node) if node[0] == comm.rank else set()  # who sends to this rank, and is sent on
        self._below = (below | ({block[0] for block in nodes.values()} if comm.rank == 0 else set())) - {comm.rank}
        watches, record = comm.rank in (0, standby_monitor), log_event if listener is None else listener.record
        self._monitor = HealthMonitor(comm, self._hosts, timing, record, now) if watches else None
        self._born = born_at(os.getpid()) or 0.0
        self._used, self._beaten = time.process_time(), now
        self._due = now + min(timing.interval, SECONDS_BEFORE_FIRST_BEAT)
        self._doing: tuple[str, int, int, float] = ("", 0, 0, 0.0)
        self._gathered: dict[int, Heartbeat] = {}
        self._handle: SendHandle | None = None

    def among(self, comm: Communicator, survivors: Sequence[int]) -> HeartbeatSender:
        """The heart that goes on in its place when ranks were lost; on rank 0 these are named."""
        heartbeat = HeartbeatSender(comm, [self._hosts[rank] for rank in survivors], self._timing, self._listener)
        heartbeat._doing = self._doing
        if self._listener is not None and self._monitor is not None and heartbeat._monitor is not None:
            self._monitor.lost(survivors)
            self._monitor.succeeded_by(heartbeat._monitor)
        return heartbeat

    def note(self, word: Command | Report) -> None:
        """Take note of what passes by: from it is known what this rank, and on rank 0 every task, is at."""
        if isinstance(word, RunLayer):
            self._doing = (word.task, word.layer, 0, 0.0)
        elif isinstance(word, ProgressReport):
            progress = word.progress
            if self._monitor is not None:
                self._monitor.note_step(progress.task, progress.step)
            if (progress.task, progress.layer) == self._doing[:2]:
                self._doing = (progress.task, progress.layer, progress.step, progress.steps_per_second)
        elif isinstance(word, LayerDone | LayerFailed) and word.rank == self._comm.rank:
            self._doing = ("", 0, 0, 0.0)

    def take(self, word: Heartbeats | FenceCommand, source: int) -> None:
        """Take in beats that another rank sent; its last word may come while this rank has not stopped yet."""
        if isinstance(word, FenceCommand):
            fence(word)
            return
        if self._monitor is not None and (source == 0 or self._listener is not None):
            self._monitor.heard(word.beats, time.monotonic())
        if source == 0:  # the deputy alone hears of it
            return
        if word.last:
            self._below.discard(source)
        if self._listener is not None:
            self._listener.heard(word.beats)
        else:
            self._gathered.update({beat.rank: beat for beat in word.beats})

    def turn(self) -> None:
        """Send a heartbeat if it is due, and look who is silent; returns at once.

        Raises:
            UnrecoverableError: see `HealthMonitor.look`.
        """
        now = time.monotonic()
        if self._monitor is not None:
            self._monitor.look(now)
        if now < self._due or (self._handle is not None and not self._handle.test()):
            return
        self._due = now + self._timing.interval
        own = self._own(now)
        if self._listener is not None:
            self._listener.heard([own])
        if self._to is not None:
            self._handle = self._comm.isend(Heartbeats((*self._gathered.values(), own)), self._to)
        self._gathered = {}

    def stop(self) -> None:
        """Say the last word and hear that of all who send to this rank, so that no message is left under way."""
        end = time.monotonic() + SECONDS_FOR_FAREWELL
        self._hear_out(set(self._below), end)
        if self._to is not None:
            if self._handle is not None:
                self._handle.wait()
            self._comm.isend(Heartbeats((), last=True), self._to).wait()
        if self._monitor is not None and self._listener is None:
            self._hear_out({0}, end)

    def _hear_out(self, missing: set[int], end: float) -> None:
        never = Event()
        while missing and (left := end - time.monotonic()) > 0:
            message = next_message(self._comm, never, left)
            if message is not None and isinstance(message.value, Heartbeats) and message.value.last:
                missing.discard(message.source)
        if missing:
            _log.warning("rank %d heard no last word of ranks %s", self._comm.rank, sorted(missing))

    def _own(self, now: float) -> Heartbeat:
        used = time.process_time()
        cpu = (used - self._used) / max(now - self._beaten, 1e-9)
        self._used, self._beaten = used, now
        task, layer, step, pace = self._doing
        rss, available = memory_now()
        load, process = os.getloadavg()[0], (os.getpid(), self._born)
        return Heartbeat(self._comm.rank, rss, cpu, load, available, task, layer, step, pace, *process)

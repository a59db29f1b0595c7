"""The heartbeat: every few seconds each rank sends its state, and each node sends one message of it to rank 0.

The ranks of a node send to its first rank, which sends all on with its own; rank 0 sends to the standby monitor, see
`topology`. All messages travel on the communicator of the control threads. A rank sends no heartbeat before the last
one has left, so that nothing piles up at a rank that sleeps.
"""

from __future__ import annotations

import logging
import os
import time
from dataclasses import asdict, dataclass
from threading import Event
from typing import TYPE_CHECKING, Protocol

from hpcmtl.communicators.polling import next_message
from hpcmtl.dispatch.health.heartbeat_messages import Heartbeats
from hpcmtl.dispatch.health.monitor import HealthMonitor, log_event
from hpcmtl.dispatch.health.topology import Topology
from hpcmtl.dispatch.health.watchdog import FenceCommand, fence
from hpcmtl.dispatch.membership.world import COORDINATOR, World
from hpcmtl.dispatch.protocol import LayerDone, LayerFailed, ProgressReport, RunLayer
from hpcmtl.launch.resources.facts import born_at, memory_now
from hpcmtl.results.heartbeat import Heartbeat

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hpcmtl.communicators.base import Communicator, SendHandle
    from hpcmtl.dispatch.health.timing import HeartbeatTiming
    from hpcmtl.dispatch.protocol import Command, Report
    from hpcmtl.results.events import RunEvent

_log = logging.getLogger(__name__)

SECONDS_BEFORE_FIRST_HEARTBEAT = 1.0  # at most
SECONDS_FOR_FAREWELL = 30.0


class Listener(Protocol):
    """Receives on rank 0 what heartbeats tell."""

    def record(self, event: RunEvent) -> None:
        """Writes an event to the ledger and shows it."""
        ...

    def heard(self, heartbeats: Iterable[Heartbeat]) -> None:
        """Takes heartbeats that have come in."""
        ...


@dataclass(frozen=True, kw_only=True)
class _Activity:
    """The present work of this rank; no task while it waits for work."""

    task: str = ""
    layer: int = 0
    step: int = 0
    steps_per_second: float = 0.0


class HeartbeatSender:
    """Sends the heartbeats of one rank, and those of its node on; for its control thread alone."""

    def __init__(
        self, comm: Communicator, hosts: Sequence[str], timing: HeartbeatTiming, listener: Listener | None
    ) -> None:
        """Starts to send, at the start of an attempt.

        Args:
            comm: communicator of the control threads.
            hosts: host of each rank.
            timing: intervals of the heartbeat and of the watchdog.
            listener: on rank 0.
        """
        self._timing, self._listener = timing, listener
        self._born = born_at(os.getpid()) or 0.0
        self._used, self._sent = time.process_time(), time.monotonic()
        self._activity = _Activity()
        self._monitor: HealthMonitor | None = None
        self._handle: SendHandle | None = None
        self._gathered: dict[int, Heartbeat] = {}
        self._due = 0.0
        self._join(comm, Topology(comm.rank, World.first(comm.size), tuple(hosts)))

    def move(self, comm: Communicator, world: World) -> None:
        """Goes on in a smaller world, in which every member counts as heard of now; rank 0 records those that are lost.

        Args:
            comm: communicator of the control threads of the members that live.
            world: these members.
        """
        before = self._monitor
        if self._listener is not None and before is not None:
            before.record_lost(world)
        self._join(comm, self._topology.after(world))
        if before is not None and self._monitor is not None:
            self._monitor.take_steps(before)

    def note(self, message: Command | Report) -> None:
        """Takes note of a command or report: it tells the activity of this rank, and on rank 0 that of every task."""
        if isinstance(message, RunLayer):
            self._activity = _Activity(task=message.task, layer=message.layer)
        elif isinstance(message, ProgressReport):
            progress = message.progress
            if self._monitor is not None:
                self._monitor.note_step(progress.task, progress.step)
            if (progress.task, progress.layer) == (self._activity.task, self._activity.layer):
                self._activity = _Activity(
                    task=progress.task,
                    layer=progress.layer,
                    step=progress.step,
                    steps_per_second=progress.steps_per_second,
                )
        elif isinstance(message, LayerDone | LayerFailed):
            if self._monitor is not None:
                members = message.finished if isinstance(message, LayerDone) else (message.member,)
                self._monitor.note_end(members, message.task, message.layer)
            if message.member == self._topology.member:
                self._activity = _Activity()

    def note_orders(self, members: Iterable[int], command: Command) -> None:
        """Takes note, on rank 0, of a command that the coordinator sends to members."""
        if self._monitor is not None and isinstance(command, RunLayer):
            self._monitor.note_order(members, command.task, command.layer)

    def take(self, message: Heartbeats | FenceCommand, source: int) -> None:
        """Takes heartbeats or a fence command that another rank sent.

        Its last heartbeats may come while this rank has not stopped yet.

        Args:
            message: the message.
            source: rank of the sender.
        """
        sender = self._topology.world.member_of(source)
        if isinstance(message, FenceCommand):
            fence(message)
            return
        if self._monitor is not None and (sender == COORDINATOR or self._listener is not None):
            self._monitor.heard(message.heartbeats, time.monotonic())
        if sender == COORDINATOR:  # this is the standby monitor, which sends these heartbeats no further
            return
        if message.last:
            self._senders.discard(sender)
        if self._listener is not None:
            self._listener.heard(message.heartbeats)
        else:
            self._gathered.update({each.rank: each for each in message.heartbeats})

    def turn(self) -> None:
        """Sends a heartbeat if it is due, and looks for silent ranks; returns at once.

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
        if self._receiver is not None:
            self._handle = self._comm.isend(Heartbeats((*self._gathered.values(), own)), self._receiver)
        self._gathered = {}

    def stop(self) -> None:
        """Sends the last heartbeat and waits for that of all senders, so that no message is left under way."""
        end = time.monotonic() + SECONDS_FOR_FAREWELL
        self._await_last(set(self._senders), end)
        if self._receiver is not None:
            if self._handle is not None:
                self._handle.wait()
            self._comm.isend(Heartbeats((), last=True), self._receiver).wait()
        if self._monitor is not None and self._listener is None:
            self._await_last({COORDINATOR}, end)

    def _join(self, comm: Communicator, topology: Topology) -> None:
        now = time.monotonic()
        self._comm, self._topology = comm, topology
        self._receiver = None if topology.receiver is None else topology.world.rank_of(topology.receiver)
        self._senders = topology.senders
        record = log_event if self._listener is None else self._listener.record
        watches = topology.member in {COORDINATOR, topology.standby_monitor}
        self._monitor = HealthMonitor(comm, topology, self._timing, record, now) if watches else None
        self._due = now + min(self._timing.interval, SECONDS_BEFORE_FIRST_HEARTBEAT)
        self._gathered, self._handle = {}, None

    def _await_last(self, missing: set[int], end: float) -> None:
        never, world = Event(), self._topology.world
        while missing and (left := end - time.monotonic()) > 0:
            message = next_message(self._comm, never, left)
            if message is not None and isinstance(message.value, Heartbeats) and message.value.last:
                missing.discard(world.member_of(message.source))
        if missing:
            _log.warning("rank %d got no last heartbeat of ranks %s", self._topology.member, sorted(missing))

    def _own(self, now: float) -> Heartbeat:
        used = time.process_time()
        cpu = (used - self._used) / max(now - self._sent, 1e-9)
        self._used, self._sent = used, now
        rss, available = memory_now()
        return Heartbeat(
            rank=self._topology.member,
            rss=rss,
            cpu=cpu,
            load=os.getloadavg()[0],
            memory_available=available,
            pid=os.getpid(),
            born=self._born,
            **asdict(self._activity),
        )

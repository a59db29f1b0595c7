"""The health monitor: names ranks whose heartbeats are missing, and has ranks that hang killed.

Rank 0 watches all others. The standby monitor watches rank 0: the first other rank of its node, or else rank 1, which
can only name it. It writes to the log, for rank 0 keeps the ledger.

Rank 0 cannot send heartbeats while the file system of the ledger does not answer, though nothing is wrong with its
process. Where that can be seen, on the same node, no rank is killed for it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from hpcmtl.dispatch.coordinator.running import UnrecoverableError
from hpcmtl.dispatch.health.failure_detector import FailureDetector
from hpcmtl.dispatch.health.watchdog import FenceCommand, Watchdog, fence
from hpcmtl.dispatch.membership.world import COORDINATOR
from hpcmtl.launch.resources.facts import waits_for_disk
from hpcmtl.results.events import RankHung, RankLost, RankRecovered, RankSuspected, RunEvent
from hpcmtl.results.sinks.log_warnings import sentence

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hpcmtl.communicators.base import Communicator, SendHandle
    from hpcmtl.dispatch.health.failure_detector import Silence
    from hpcmtl.dispatch.health.timing import HeartbeatTiming
    from hpcmtl.dispatch.health.topology import Topology
    from hpcmtl.dispatch.health.watchdog import HungRank
    from hpcmtl.dispatch.membership.world import World
    from hpcmtl.results.heartbeat import Heartbeat

_log = logging.getLogger(__name__)

_LOOKS_PER_HEARTBEAT = 4

Record = Callable[[RunEvent], None]
"""Writes an event of a rank to the ledger, or to the log."""


class HealthMonitor:
    """Watches over ranks, on rank 0 or on the standby monitor."""

    def __init__(
        self, comm: Communicator, topology: Topology, timing: HeartbeatTiming, record: Record, now: float
    ) -> None:
        """Starts to watch.

        Args:
            comm: communicator of the control threads.
            topology: the members and their hosts, as this member sees them.
            timing: intervals of the heartbeat and of the watchdog.
            record: receives an event for each finding.
            now: seconds.
        """
        self._comm, self._topology, self._record = comm, topology, record
        self._interval = timing.interval
        self._detector = FailureDetector(topology.watched, self._interval, now)
        # From another node a hang of rank 0 cannot be told from a wait for its file system.
        near = topology.hosts[topology.member] == topology.hosts[COORDINATOR]
        self._watchdog = Watchdog(topology, timing.hung if near else 0.0, self._detector.patience)
        self._latest: dict[int, Heartbeat] = {}
        self._steps: dict[str, int] = {}
        self._orders: dict[int, tuple[str, int]] | None = None
        self._looked = now
        self._commands: list[SendHandle] = []  # kept until the end: a request that is dropped may never leave

    def note_step(self, task: str, step: int) -> None:
        """Takes note of the step that a task has reached."""
        self._steps[task] = step

    def note_order(self, members: Iterable[int], task: str, layer: int) -> None:
        """Takes note of the layer that the coordinator has given to members; their heartbeats tell it later."""
        self._orders = {**(self._orders or {}), **dict.fromkeys(members, (task, layer))}

    def note_end(self, members: Iterable[int], task: str, layer: int) -> None:
        """Takes note that members have left a layer."""
        for member in members:
            if self._orders is not None and self._orders.get(member) == (task, layer):
                del self._orders[member]

    def heard(self, heartbeats: Iterable[Heartbeat], now: float) -> None:
        """Takes heartbeats, and records the ranks that have recovered by them."""
        for each in heartbeats:
            self._latest[each.rank] = each
            if each.rank in self._detector.watched and (silence := self._detector.heard(each.rank, now)) is not None:
                self._record_silence(silence)

    def look(self, now: float) -> None:
        """Records the ranks that have become suspected, and fences those that hang; a few times for each heartbeat.

        Raises:
            UnrecoverableError: a rank hangs that cannot be killed.
        """
        if now - self._looked <= self._interval / _LOOKS_PER_HEARTBEAT:
            return
        self._looked = now
        detector = self._detector
        for silence in detector.check(now):
            self._record_silence(silence)
        ages = {member: detector.age(member, now) for member in detector.suspects if not self._waits_for_disk(member)}
        for hung in self._watchdog.look(ages, now):
            self._declare_dead(hung)

    def record_lost(self, world: World) -> None:
        """Records the watched members that are not in a world any more, each with its last activity."""
        for member in sorted(member for member in self._detector.watched if member not in world):
            self._record(RankLost(rank=member, host=self._topology.hosts[member], **self._activity(member)))

    def take_steps(self, other: HealthMonitor) -> None:
        """Takes steps and orders over from the monitor of the world before; layers that lost a member have ended."""
        self._steps = other._steps
        if other._orders is not None:
            gone = {order for member, order in other._orders.items() if member not in self._topology.world}
            self._orders = {member: order for member, order in other._orders.items() if order not in gone}

    def _waits_for_disk(self, member: int) -> bool:
        last, hosts = self._latest.get(member), self._topology.hosts
        return last is not None and hosts[member] == hosts[self._topology.member] and waits_for_disk(last.pid)

    def _declare_dead(self, hung: HungRank) -> None:
        last, rank = self._latest.get(hung.member), hung.member
        doing = last.doing if last is not None else "nothing that is known of"
        seconds = round(hung.seconds, 1)
        self._record(RankHung(rank=rank, host=hung.host, seconds=seconds, doing=doing, fenced_by=hung.fenced_by))
        if last is None or hung.fenced_by is None:
            why = "no other rank is on its host" if last is not None else "its process is not known"
            raise UnrecoverableError(f"rank {rank} on {hung.host} hangs, and cannot be killed: {why}")
        command = FenceCommand(member=rank, pid=last.pid, born=last.born)
        if hung.fenced_by == self._topology.member:
            fence(command)
        else:
            self._commands.append(self._comm.isend(command, self._topology.world.rank_of(hung.fenced_by)))

    def _record_silence(self, silence: Silence) -> None:
        kind = RankRecovered if silence.recovered else RankSuspected
        self._record(kind(rank=silence.member, seconds=round(silence.seconds, 1), **self._activity(silence.member)))

    def _activity(self, member: int) -> dict[str, Any]:
        """Task, layer and step of a rank, by its orders, else its last heartbeat; empty if it waited for work."""
        last = self._latest.get(member)
        if self._orders is not None:
            task, layer = self._orders.get(member, ("", 0))
            at = last.step if last is not None and (last.task, last.layer) == (task, layer) else 0
            return {"task": task, "layer": layer, "step": max(self._steps.get(task, 0), at)} if task else {}
        if last is None or not last.task:
            return {}
        return {"task": last.task, "layer": last.layer, "step": self._steps.get(last.task, last.step)}


def log_event(event: RunEvent) -> None:
    """Writes an event of a rank to the log of a rank that cannot reach the ledger."""
    _log.log(logging.ERROR if isinstance(event, RankHung) else logging.WARNING, "%s", sentence(event))

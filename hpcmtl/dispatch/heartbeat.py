"""The heartbeat: every few seconds each rank says how it is, and each node sends one message of it to rank 0.

The ranks of a node tell its first rank, which sends what it heard on with its own. All travels on the communicator of
the control threads; no message is sent before the last one has left, so that nothing piles up at a rank that sleeps.
"""

from __future__ import annotations

import logging
import os
import time
from dataclasses import dataclass
from threading import Event
from typing import TYPE_CHECKING, Any, Protocol

from hpcmtl.communicators.mailbox import next_message
from hpcmtl.dispatch.commands import LayerDone, LayerFailed, Progressed, RunLayer
from hpcmtl.dispatch.state import HopelessError
from hpcmtl.dispatch.suspects import Watch
from hpcmtl.dispatch.watchdog import Kill, carry_out
from hpcmtl.launch.facts import born_at, memory_now
from hpcmtl.launch.world import blocks_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hpcmtl.communicators.base import Communicator, SendHandle
    from hpcmtl.dispatch.commands import Command, Report
    from hpcmtl.dispatch.suspects import Silence
    from hpcmtl.dispatch.watchdog import Hung, Watchdog

_log = logging.getLogger(__name__)

SECONDS_BEFORE_FIRST_BEAT = 1.0  # at most
SECONDS_FOR_FAREWELL = 30.0
_LOOKS_A_BEAT = 4  # for silent ranks


@dataclass(frozen=True)
class Beat:
    """How a rank is.

    Attributes:
        rank: which.
        rss: bytes of memory that its process holds.
        cpu: cores' worth of time that its process used since the last beat.
        load: of its node, see `launch.facts.RankFacts`.
        memory_available: bytes of its node.
        task: that it works for; empty if it waits.
        layer: of the task.
        step: of the layer, as last reported; only the group's first rank knows.
        steps_per_second: as last reported.
        pid: of its process.
        born: seconds since 1970 when that began.
    """

    rank: int
    rss: int
    cpu: float
    load: float
    memory_available: int
    task: str = ""
    layer: int = 0
    step: int = 0
    steps_per_second: float = 0.0
    pid: int = 0
    born: float = 0.0

    @property
    def doing(self) -> str:
        """What it does, in words."""
        if not self.task:
            return "nothing: it waited for work"
        return f"task {self.task}, layer {self.layer}" + (f", step {self.step}" if self.step else "")


@dataclass(frozen=True)
class Beats:
    """Beats of some ranks of one node; with `last` those are the last."""

    beats: tuple[Beat, ...]
    last: bool = False


class Listener(Protocol):
    """Who wants to know on rank 0."""

    def record(self, event: str, **fields: Any) -> None:
        """Something that the ledger should hold."""
        ...

    def heard(self, beats: Iterable[Beat]) -> None:
        """Beats have come in."""
        ...


class Heart:
    """The heart of one rank, for its control thread alone."""

    def __init__(
        self,
        comm: Communicator,
        hosts: Sequence[str],
        interval: float,
        listener: Listener | None,
        watchdog: Watchdog | None = None,
    ) -> None:
        """Start to beat.

        Args:
            comm: of the control threads.
            hosts: of each rank; the first rank of a host sends for all of it.
            interval: seconds between beats.
            listener: on rank 0.
            watchdog: on rank 0, what says which silent ranks are taken for dead; None for none of them.
        """
        now = time.monotonic()
        self._comm, self._interval, self._listener, self._hosts = comm, interval, listener, tuple(hosts)
        nodes = blocks_of(hosts)
        node = nodes[hosts[comm.rank]]
        self._to = node[0] if node[0] != comm.rank else 0
        below = set(node) if node[0] == comm.rank else set()  # who sends to this rank
        self._below = (below | ({block[0] for block in nodes.values()} if comm.rank == 0 else set())) - {comm.rank}
        self._watchdog = watchdog
        self._born = born_at(os.getpid()) or 0.0
        self._watch = Watch((rank for rank in range(comm.size) if rank), interval, now)
        self._used, self._beaten = time.process_time(), now
        self._looked, self._due = now, now + min(interval, SECONDS_BEFORE_FIRST_BEAT)
        self._doing: tuple[str, int, int, float] = ("", 0, 0, 0.0)
        self._latest: dict[int, Beat] = {}
        self._gathered: dict[int, Beat] = {}
        self._steps: dict[str, int] = {}
        self._handle: SendHandle | None = None
        self._orders: list[SendHandle] = []  # kept until the end: a request that is dropped may never leave

    def among(self, comm: Communicator, survivors: Sequence[int]) -> Heart:
        """The heart that goes on in its place when ranks were lost; on rank 0 these are named."""
        if self._listener is not None:
            for rank in sorted(set(range(self._comm.size)).difference(survivors)):
                self._listener.record("rank_lost", rank=rank, host=self._hosts[rank], **self._at(rank))
        watchdog = None if self._watchdog is None else self._watchdog.among(survivors)
        heart = Heart(comm, [self._hosts[rank] for rank in survivors], self._interval, self._listener, watchdog)
        heart._doing, heart._steps = self._doing, self._steps
        return heart

    def note(self, word: Command | Report) -> None:
        """Take note of what passes by: from it is known what this rank, and on rank 0 every task, is at."""
        if isinstance(word, RunLayer):
            self._doing = (word.task, word.layer, 0, 0.0)
        elif isinstance(word, Progressed):
            progress = word.progress
            self._steps[progress.task] = progress.step
            if (progress.task, progress.layer) == self._doing[:2]:
                self._doing = (progress.task, progress.layer, progress.step, progress.steps_per_second)
        elif isinstance(word, LayerDone | LayerFailed) and word.rank == self._comm.rank:
            self._doing = ("", 0, 0, 0.0)

    def take(self, word: Beats | Kill, source: int) -> None:
        """Take in beats that another rank sent; its last word may come while this rank has not stopped yet."""
        if isinstance(word, Kill):
            carry_out(word)
            return
        beats = word
        if beats.last:
            self._below.discard(source)
        for beat in beats.beats:
            self._gathered[beat.rank] = self._latest[beat.rank] = beat
            if self._listener is not None and (silence := self._watch.heard(beat.rank, time.monotonic())) is not None:
                self._tell(silence)
        if self._listener is not None:
            self._listener.heard(beats.beats)

    def turn(self) -> None:
        """Beat if it is time, and on rank 0 look who is silent; returns at once."""
        now = time.monotonic()
        if self._listener is not None and now - self._looked > self._interval / _LOOKS_A_BEAT:
            self._looked = now
            for silence in self._watch.check(now):
                self._tell(silence)
            for hung in self._hung(now):
                self._condemn(hung)
        if now < self._due or (self._handle is not None and not self._handle.test()):
            return
        self._due = now + self._interval
        self._send(Beats((*self._gathered.values(), self._own(now))))

    def stop(self) -> None:
        """Say the last word and hear that of all who send to this rank, so that no message is left under way."""
        missing, never, end = set(self._below), Event(), time.monotonic() + SECONDS_FOR_FAREWELL
        while missing and (left := end - time.monotonic()) > 0:
            message = next_message(self._comm, never, left)
            if message is not None and isinstance(message.value, Beats) and message.value.last:
                missing.discard(message.source)
        if missing:
            _log.warning("rank %d heard no last word of ranks %s", self._comm.rank, sorted(missing))
        if self._comm.rank != 0:
            if self._handle is not None:
                self._handle.wait()
            self._comm.isend(Beats((), last=True), self._to).wait()

    def _send(self, beats: Beats) -> None:
        self._gathered = {}
        if self._listener is not None:
            self._listener.heard(beats.beats[-1:])  # the others were told of as they came
        else:
            self._handle = self._comm.isend(beats, self._to)

    def _own(self, now: float) -> Beat:
        used = time.process_time()
        cpu = (used - self._used) / max(now - self._beaten, 1e-9)
        self._used, self._beaten = used, now
        task, layer, step, pace = self._doing
        rss, available = memory_now()
        load, process = os.getloadavg()[0], (os.getpid(), self._born)
        return Beat(self._comm.rank, rss, cpu, load, available, task, layer, step, pace, *process)

    def _hung(self, now: float) -> list[Hung]:
        """The ranks that are taken for dead from now on."""
        if self._watchdog is None:
            return []
        ages = {rank: self._watch.age(rank, now) for rank in self._watch.suspects}
        return self._watchdog.look({rank: (age, age - self._watch.patience) for rank, age in ages.items()}, now)

    def _condemn(self, hung: Hung) -> None:
        """Have a rank that hangs killed.

        Raises:
            HopelessError: nobody can.
        """
        assert self._listener is not None, "rank 0 alone watches"
        last = self._latest.get(hung.rank)
        doing = last.doing if last is not None else "nothing that is known of"
        facts = {"host": hung.host, "seconds": round(hung.seconds, 1), "doing": doing, "killer": hung.killer}
        self._listener.record("rank_hung", rank=hung.rank, **facts)
        if last is None or hung.killer is None:
            why = "no other rank is on its host" if last is not None else "its process is not known"
            raise HopelessError(f"rank {hung.rank} on {hung.host} hangs, and cannot be killed: {why}")
        order = Kill(hung.rank, last.pid, last.born)
        if hung.killer == self._comm.rank:
            carry_out(order)
        else:
            self._orders.append(self._comm.isend(order, hung.killer))

    def _tell(self, silence: Silence) -> None:
        assert self._listener is not None, "rank 0 alone watches"
        event, seconds = "rank_back" if silence.back else "rank_suspect", round(silence.seconds, 1)
        self._listener.record(event, rank=silence.rank, seconds=seconds, **self._at(silence.rank))

    def _at(self, rank: int) -> dict[str, Any]:
        """What a rank was at when it was last heard of; nothing if it waited for work."""
        last = self._latest.get(rank)
        if last is None or not last.task:
            return {}
        return {"task": last.task, "layer": last.layer, "step": self._steps.get(last.task, 0)}

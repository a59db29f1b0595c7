"""Keeps `status.json` up to date while a run goes on.

A thread of its own writes the file, so that the coordinator never waits for a disk.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any

from hpcmtl.results.events import WorldShrunk
from hpcmtl.results.hosts import blocks_of
from hpcmtl.results.rundir.directory import write_json_atomically
from hpcmtl.results.sinks.write_thread import WriteThread
from hpcmtl.results.status.job_progress import JobProgress
from hpcmtl.results.status.status import status_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from hpcmtl.results.curves.point import TrainingPoint
    from hpcmtl.results.events import RunEvent
    from hpcmtl.results.heartbeat import Heartbeat
    from hpcmtl.results.ledger import LedgerEntry
    from hpcmtl.results.step_progress import StepProgress

_log = logging.getLogger(__name__)

SECONDS_BETWEEN_WRITES = 1.0

WRITING_SHARE = 0.02
"""Largest share of the thread's time that goes into writing, for any number of ranks."""


class StatusFile:
    """A `Sink` that writes the status of a running job to a file, soon after something has happened."""

    def __init__(
        self,
        path: Path,
        plan: Mapping[str, Any],
        hosts: Sequence[str],
        timing: Mapping[str, float],
        past: Iterable[LedgerEntry] = (),
    ) -> None:
        """Starts the thread that writes.

        Args:
            path: the file.
            plan: layer plan, as in `plan.json`.
            hosts: host of each rank.
            timing: further values of the file: `seconds_between_heartbeats`, the interval of the heartbeat, and
                `suspect_after`, the seconds without one after which a rank is suspected.
            past: ledger entries of earlier attempts.
        """
        self._path, self._hosts, self._timing = path, hosts, dict(timing)
        self._ranks: Sequence[int] = range(len(hosts))
        self._job_progress = JobProgress.of_plan(plan, past)
        self._heartbeats: dict[int, tuple[Heartbeat, float]] = {}
        self._lock = threading.Lock()
        self._thread = WriteThread("status", self._write, SECONDS_BETWEEN_WRITES, WRITING_SHARE)

    def on_event(self, event: RunEvent, at: float) -> None:
        """See `Sink`."""
        with self._lock:
            self._job_progress.state.take(event, at)
            if isinstance(event, WorldShrunk):
                self._ranks, self._heartbeats = event.members, {}
        self._thread.note_change()

    def on_progress(self, progress: StepProgress) -> None:
        """See `Sink`."""
        with self._lock:
            self._job_progress.state.progressed(progress)
        self._thread.note_change()

    def on_point(self, task: str, point: TrainingPoint) -> None:
        """See `Sink`."""

    def on_heartbeats(self, heartbeats: Iterable[Heartbeat]) -> None:
        """See `Sink`."""
        now = time.time()
        with self._lock:
            self._heartbeats.update({each.rank: (each, now) for each in heartbeats})
        self._thread.note_change()

    def close(self) -> None:
        """Writes the file for the last time."""
        self._thread.close()

    def _write(self) -> None:
        try:
            write_json_atomically(self._path, self._values())
        except OSError as error:  # a full disk ends the run where it matters, not here
            _log.warning("%s could not be written: %s", self._path, error.strerror or error)

    def _values(self) -> dict[str, Any]:
        now = time.time()
        with self._lock:
            status, hosts, living = status_of(self._job_progress, now), self._hosts, frozenset(self._ranks)
            heartbeats, suspects = dict(self._heartbeats), set(self._job_progress.state.suspects)
        ranks = [
            {**vars(each), "host": hosts[rank], "age": now - at, "suspect": rank in suspects}
            for rank, (each, at) in sorted(heartbeats.items())
        ]
        blocks = {host: [rank for rank in block if rank in living] for host, block in blocks_of(hosts).items()}
        nodes = [
            _node(host, [heartbeats[rank] for rank in block if rank in heartbeats], block, now)
            for host, block in blocks.items()
            if block
        ]
        return {"written": now, **self._timing, **status, "nodes": nodes, "rank_heartbeats": ranks}


def _node(host: str, heartbeats: Sequence[tuple[Heartbeat, float]], ranks: Sequence[int], now: float) -> dict[str, Any]:
    """Returns the facts of a node from the heartbeats of its ranks; load and memory are from the newest one."""
    facts: dict[str, Any] = {"host": host, "ranks": [ranks[0], ranks[-1]], "count": len(ranks)}
    if heartbeats:
        newest, at = max(heartbeats, key=lambda each: each[1])
        facts |= {"age": now - at, "load": newest.load, "memory_available": newest.memory_available}
        facts |= {"rss": sum(each.rss for each, _ in heartbeats), "cpu": sum(each.cpu for each, _ in heartbeats)}
    return facts

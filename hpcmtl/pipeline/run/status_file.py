"""Keeps `status.json` up to date while a run goes on, on a thread of its own: the dispatcher waits for no disk."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any

from hpcmtl.dispatch.health.failure_detector import PATIENCE
from hpcmtl.launch.resources.world import blocks_of
from hpcmtl.results.events import WorldShrunk
from hpcmtl.results.rundir.directory import write_json_atomically
from hpcmtl.results.status.job_progress import JobProgress
from hpcmtl.results.status.status import status_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from hpcmtl.dispatch.health.heartbeat import Heartbeat
    from hpcmtl.results.events import RunEvent
    from hpcmtl.results.ledger import LedgerEntry
    from hpcmtl.results.step_progress import StepProgress

_log = logging.getLogger(__name__)

SECONDS_BETWEEN_WRITES = 1.0
WRITING_SHARE = 0.02  # most of the thread's time that goes into writing, however many ranks there are


class StatusFile:
    """What is known of a running job, and the thread that writes it down after something has happened."""

    def __init__(
        self,
        path: Path,
        plan: Mapping[str, Any],
        hosts: Sequence[str],
        seconds_between_beats: float,
        past: Iterable[LedgerEntry] = (),
    ) -> None:
        """Begin to write.

        Args:
            path: the file.
            plan: as in `plan.json`.
            hosts: of each rank.
            seconds_between_beats: of the ranks.
            past: ledger entries of earlier attempts.
        """
        self._path, self._hosts = path, hosts
        self._interval = seconds_between_beats
        self._job_progress = JobProgress.of_plan(plan, past)
        self._beats: dict[int, tuple[Heartbeat, float]] = {}
        self._lock = threading.Lock()
        self._news, self._closed = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._write_on, name="status", daemon=True)
        self._thread.start()

    def take(self, event: RunEvent) -> None:
        """Takes in an event that happens now."""
        with self._lock:
            self._job_progress.state.take(event, time.time())
            if isinstance(event, WorldShrunk):
                self._hosts, self._beats = [self._hosts[rank] for rank in event.survivors], {}
        self._news.set()

    def progressed(self, progress: StepProgress) -> None:
        """Takes in the progress of a running layer."""
        with self._lock:
            self._job_progress.state.progressed(progress)
        self._news.set()

    def heard(self, beats: Iterable[Heartbeat]) -> None:
        """Heartbeats have come in."""
        now = time.time()
        with self._lock:
            self._beats.update({beat.rank: (beat, now) for beat in beats})
        self._news.set()

    def close(self) -> None:
        """Write for the last time."""
        self._closed.set()
        self._news.set()
        self._thread.join()

    def _write_on(self) -> None:
        while not self._closed.is_set():
            self._news.wait()
            self._news.clear()
            began = time.monotonic()
            self._write()
            took = time.monotonic() - began
            self._closed.wait(max(SECONDS_BETWEEN_WRITES, took / WRITING_SHARE))
        self._write()

    def _write(self) -> None:
        try:
            write_json_atomically(self._path, self._values())
        except OSError as error:  # a full disk ends the run where it matters, not here
            _log.warning("%s could not be written: %s", self._path, error.strerror)

    def _values(self) -> dict[str, Any]:
        now = time.time()
        with self._lock:
            status, beats, suspects = (
                status_of(self._job_progress, now),
                dict(self._beats),
                set(self._job_progress.state.suspects),
            )
        ranks = [
            {**vars(beat), "host": self._hosts[rank], "age": now - at, "suspect": rank in suspects}
            for rank, (beat, at) in sorted(beats.items())
        ]
        nodes = [
            _node(host, [beats[rank] for rank in block if rank in beats], block, now) for host, block in self._nodes
        ]
        times = {"written": now, "seconds_between_beats": self._interval, "suspect_after": PATIENCE * self._interval}
        return {**times, **status, "nodes": nodes, "rank_beats": ranks}

    @property
    def _nodes(self) -> Iterable[tuple[str, list[int]]]:
        return blocks_of(self._hosts).items()


def _node(host: str, beats: Sequence[tuple[Heartbeat, float]], ranks: Sequence[int], now: float) -> dict[str, Any]:
    """What the ranks of a node say of it together; load and memory from the newest beat."""
    facts: dict[str, Any] = {"host": host, "ranks": [ranks[0], ranks[-1]], "count": len(ranks)}
    if beats:
        newest, at = max(beats, key=lambda beat: beat[1])
        facts |= {"age": now - at, "load": newest.load, "memory_available": newest.memory_available}
        facts |= {"rss": sum(beat.rss for beat, _ in beats), "cpu": sum(beat.cpu for beat, _ in beats)}
    return facts

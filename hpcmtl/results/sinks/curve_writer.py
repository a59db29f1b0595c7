"""Writes the points of the curves of all tasks to their files, on a thread of its own."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from hpcmtl.results.curves.point import to_fields
from hpcmtl.results.curves.reader import read_points
from hpcmtl.results.curves.thinning import MOST_POINTS, thinned
from hpcmtl.results.rundir.directory import write_text_atomically
from hpcmtl.results.sinks.base import IgnoringSink
from hpcmtl.results.strict_json import to_json

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from hpcmtl.results.curves.point import TrainingPoint
    from hpcmtl.results.rundir.directory import RunDirectory

_log = logging.getLogger(__name__)

SECONDS_BETWEEN_WRITES = 1.0
LINES_BETWEEN_LOOKS = 2 * MOST_POINTS
"""Lines of a file, or lines appended since, after which it is read again and its points are thinned out."""


class CurveWriter(IgnoringSink):
    """A `Sink` that appends points to the file of their task, one JSON object a line."""

    def __init__(self, run: RunDirectory) -> None:
        """Starts the thread that writes; `run` is the run directory."""
        self._run = run
        self._lines: dict[str, int] = {}  # of each file, since it was last thinned out
        self._new: dict[str, list[TrainingPoint]] = {}
        self._lock = threading.Lock()
        self._changed, self._closed = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._write_until_closed, name="curves", daemon=True)
        self._thread.start()

    def on_point(self, task: str, point: TrainingPoint) -> None:
        """See `Sink`."""
        with self._lock:
            self._new.setdefault(task, []).append(point)
        self._changed.set()

    def close(self) -> None:
        """Writes what is left."""
        self._closed.set()
        self._changed.set()
        self._thread.join()

    def _write_until_closed(self) -> None:
        while not self._closed.is_set():
            self._changed.wait()
            self._changed.clear()
            self._write()
            self._closed.wait(SECONDS_BETWEEN_WRITES)
        self._write()

    def _write(self) -> None:
        with self._lock:
            new, self._new = self._new, {}
        for task, points in new.items():
            path = self._run.curve_file(task)
            try:
                self._append(path, task, points)
            except OSError as error:  # a full disk ends the run where it matters, not here
                self._lines.pop(task, None)  # the file may end with a torn line
                _log.warning("%s could not be written: %s", path, error.strerror or error)

    def _append(self, path: Path, task: str, points: Sequence[TrainingPoint]) -> None:
        """Appends whole lines; before them it ends a line that an earlier process, or a full disk, left torn."""
        text = _lines_of(points)
        path.parent.mkdir(exist_ok=True)
        if task not in self._lines:
            before = path.read_bytes() if path.exists() else b""
            self._lines[task] = before.count(b"\n")
            text = text if before.endswith(b"\n") or not before else "\n" + text
        with path.open("a", encoding="utf-8") as file:
            file.write(text)
        self._lines[task] += len(points)
        if self._lines[task] >= LINES_BETWEEN_LOOKS:
            self._lines[task] = 0
            write_text_atomically(path, _lines_of(thinned(read_points(path))))


def _lines_of(points: Sequence[TrainingPoint]) -> str:
    return "".join(to_json(to_fields(point)) + "\n" for point in points)

"""Sinks that write to a disk on a thread of their own."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from hpcmtl.results.sinks.base import IgnoringSink
from hpcmtl.results.sinks.write_thread import WriteThread

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcmtl.results.curves.point import TrainingPoint

_log = logging.getLogger(__name__)

SECONDS_BETWEEN_WRITES = 1.0


class PointBuffer(IgnoringSink):
    """A `Sink` of points that hands them on to `write` about once a second, on a thread of its own.

    A derived class sets `write`. An `OSError` there costs the points of one task, with a warning: a full disk ends the
    run where it matters, not here.
    """

    def __init__(self, name: str) -> None:
        """Starts the thread; `name` is for messages."""
        self._name = name
        self._new: dict[str, list[TrainingPoint]] = {}
        self._lock = threading.Lock()
        self._thread = WriteThread(name, self._write_new, SECONDS_BETWEEN_WRITES)

    def write(self, task: str, points: Sequence[TrainingPoint]) -> None:
        """Writes new points of a task, in order.

        Raises:
            OSError: they could not be written.
        """
        raise NotImplementedError

    def on_point(self, task: str, point: TrainingPoint) -> None:
        """See `Sink`."""
        with self._lock:
            self._new.setdefault(task, []).append(point)
        self._thread.note_change()

    def close(self) -> None:
        """Writes what is left."""
        self._thread.close()

    def _write_new(self) -> None:
        with self._lock:
            new, self._new = self._new, {}
        for task, points in new.items():
            try:
                self.write(task, points)
            except OSError as error:
                place = error.filename or f"{self._name} of {task}"
                _log.warning("%s could not be written: %s", place, error.strerror or error)

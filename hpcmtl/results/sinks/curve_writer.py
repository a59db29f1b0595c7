"""Writes the points of the curves of all tasks to their files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcmtl.results.curves.point import to_fields
from hpcmtl.results.curves.reader import read_points
from hpcmtl.results.curves.thinning import MOST_POINTS, thinned
from hpcmtl.results.rundir.directory import write_text_atomically
from hpcmtl.results.sinks.buffered import PointBuffer
from hpcmtl.results.strict_json import to_json

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from hpcmtl.results.curves.point import TrainingPoint
    from hpcmtl.results.rundir.directory import RunDirectory

LINES_BETWEEN_LOOKS = 2 * MOST_POINTS
"""Lines of a file, or lines appended since, after which it is read again and its points are thinned out."""


class CurveWriter(PointBuffer):
    """A `Sink` that appends points to the file of their task, one JSON object a line."""

    def __init__(self, run: RunDirectory) -> None:
        """Takes the run directory."""
        self._run = run
        self._lines: dict[str, int] = {}  # of each file, since it was last thinned out
        super().__init__("curves")

    def write(self, task: str, points: Sequence[TrainingPoint]) -> None:
        """See `PointBuffer`."""
        try:
            self._append(self._run.curve_file(task), task, points)
        except OSError:
            self._lines.pop(task, None)  # the file may end with a torn line
            raise

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

"""Writes the curves of tasks as TensorBoard event files, one directory a task."""

from __future__ import annotations

import os
import socket
import time
from typing import TYPE_CHECKING

from hpcmtl.results.curves.series import values_of
from hpcmtl.results.sinks.buffered import PointBuffer
from hpcmtl.results.sinks.event_records import scalars_record, start_record, version_record

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from hpcmtl.results.curves.point import TrainingPoint
    from hpcmtl.results.rundir.directory import RunDirectory


class TensorBoardFiles(PointBuffer):
    """A `Sink` that writes points as scalars; ``tensorboard --logdir RUN/tensorboard`` shows them.

    Each attempt writes a file of its own in the directory of a task, since TensorBoard takes the newest. Where steps
    come again, a record tells TensorBoard to drop the old ones.
    """

    def __init__(self, run: RunDirectory) -> None:
        """Takes the run directory."""
        self._folder = run.tensorboard
        self._files: dict[str, Path] = {}
        self._steps: dict[str, int] = {}  # newest step of each task
        super().__init__("tensorboard")

    def write(self, task: str, points: Sequence[TrainingPoint]) -> None:
        """See `PointBuffer`."""
        records = []
        for point in points:
            if task in self._steps and point.step < self._steps[task]:
                records.append(start_record(point.at, point.step))
            self._steps[task] = point.step
            records.append(scalars_record(point.at, point.step, _scalars(point)))
        with self._file(task, points[0].step).open("ab") as file:  # whole records: a torn one ends the file for readers
            file.write(b"".join(records))

    def _file(self, task: str, step: int) -> Path:
        """Returns the file of this attempt; it is begun at the first call."""
        if task not in self._files:
            folder, now = self._folder / task, time.time()
            folder.mkdir(parents=True, exist_ok=True)
            resumed = any(folder.iterdir())
            path = folder / f"events.out.tfevents.{now:.0f}.{socket.gethostname()}.{os.getpid()}"
            start = start_record(now, step) if resumed else b""
            path.write_bytes(version_record(now) + start)
            self._files[task] = path
        return self._files[task]


def _scalars(point: TrainingPoint) -> dict[str, float]:
    """Returns the values of a point by tag: TensorBoard groups tags by what comes before the slash."""
    found = values_of(point)
    if point.ends_epoch:
        of_epoch = {f"epoch.{name}" if name in point.losses else name: value for name, value in found.items()}
        found = {name: value for name, value in of_epoch.items() if "epoch." in name or name in point.metrics}
        found["epoch.number"] = float(point.epoch)
    return {name.replace(".", "/", 1): value for name, value in found.items()}

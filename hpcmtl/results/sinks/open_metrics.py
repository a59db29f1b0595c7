"""Keeps the newest values of a run in a text file that monitoring systems read."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from hpcmtl.results.curves.series import values_of
from hpcmtl.results.run_state import RunState
from hpcmtl.results.rundir.directory import write_text_atomically
from hpcmtl.results.sinks.write_thread import WriteThread

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from hpcmtl.results.curves.point import TrainingPoint
    from hpcmtl.results.events import RunEvent
    from hpcmtl.results.heartbeat import Heartbeat
    from hpcmtl.results.step_progress import StepProgress

_log = logging.getLogger(__name__)

SECONDS_BETWEEN_WRITES = 5.0

_HELP = {
    "task_complete": ("Whether a task is complete.", ""),
    "task_step": ("Optimizer steps of a task done.", ""),
    "task_value": ("Newest loss, metric or other measurement of a task.", ""),
    "task_samples_per_second": ("Samples a second of the group of a task.", ""),
    "task_layer_ratio": ("Share of the running task layer that is done.", "ratio"),
    "rank_memory_bytes": ("Resident memory of a rank.", "bytes"),
    "rank_cores": ("Cores that a rank keeps busy.", ""),
    "node_memory_available_bytes": ("Available memory of the node of a rank.", "bytes"),
    "node_load": ("Load average of the node of a rank.", ""),
}
"""Metrics by name without prefix: help and unit."""

Samples = dict[str, list[tuple[dict[str, str], float]]]


class OpenMetricsFile:
    """A `Sink` that writes the newest values as OpenMetrics text, at most every 5 s, on a thread of its own.

    The file is replaced as a whole, as the text file collector of the Prometheus node exporter needs it.
    """

    def __init__(self, path: Path, job: str) -> None:
        """Starts the thread that writes; `job` is the name of the job, a label of all values."""
        self._path, self._job = path, job
        self._state = RunState()
        self._values: dict[str, dict[str, float]] = {}
        self._steps: dict[str, int] = {}
        self._progress: dict[str, StepProgress] = {}
        self._heartbeats: dict[int, Heartbeat] = {}
        self._lock = threading.Lock()
        self._thread = WriteThread("openmetrics", self._write, SECONDS_BETWEEN_WRITES)

    def on_event(self, event: RunEvent, at: float) -> None:
        """See `Sink`."""
        with self._lock:
            self._state.take(event, at)
        self._thread.note_change()

    def on_progress(self, progress: StepProgress) -> None:
        """See `Sink`."""
        with self._lock:
            self._progress[progress.task] = progress
        self._thread.note_change()

    def on_point(self, task: str, point: TrainingPoint) -> None:
        """See `Sink`."""
        found = values_of(point)
        with self._lock:
            self._steps[task] = point.step
            self._values.setdefault(task, {}).update(found)
        self._thread.note_change()

    def on_heartbeats(self, heartbeats: Iterable[Heartbeat]) -> None:
        """See `Sink`."""
        with self._lock:
            self._heartbeats.update({each.rank: each for each in heartbeats})
        self._thread.note_change()

    def close(self) -> None:
        """Writes the file for the last time."""
        self._thread.close()

    def _write(self) -> None:
        with self._lock:
            samples = self._samples()
        try:
            write_text_atomically(self._path, text_of(samples))
        except OSError as error:  # a full disk ends the run where it matters, not here
            _log.warning("%s could not be written: %s", self._path, error.strerror or error)

    def _samples(self) -> Samples:
        job = {"job": self._job}
        found: Samples = {name: [] for name in _HELP}
        for task, history in self._state.tasks.items():
            found["task_complete"].append(({**job, "task": task}, float(history.status == "complete")))
        for task, step in self._steps.items():
            found["task_step"].append(({**job, "task": task}, step))
        for task, values in self._values.items():
            found["task_value"] += [({**job, "task": task, "name": name}, value) for name, value in values.items()]
        for task, progress in self._progress.items():
            found["task_samples_per_second"].append(({**job, "task": task}, progress.samples_per_second))
            found["task_layer_ratio"].append(({**job, "task": task}, progress.fraction))
        for rank, heard in sorted(self._heartbeats.items()):
            of_rank = {**job, "rank": str(rank)}
            found["rank_memory_bytes"].append((of_rank, heard.rss))
            found["rank_cores"].append((of_rank, heard.cpu))
            found["node_memory_available_bytes"].append((of_rank, heard.memory_available))
            found["node_load"].append((of_rank, heard.load))
        return found


def text_of(samples: Samples) -> str:
    """Returns gauges as OpenMetrics 1.0 text; a metric without samples is left out.

    Args:
        samples: by name without prefix: labels, and a value.
    """
    return "".join(_lines(samples)) + "# EOF\n"


def _lines(samples: Samples) -> Iterator[str]:
    for name, found in samples.items():
        if not found:
            continue
        text, unit = _HELP[name]
        yield f"# TYPE hpcmtl_{name} gauge\n"
        if unit:
            yield f"# UNIT hpcmtl_{name} {unit}\n"
        yield f"# HELP hpcmtl_{name} {text}\n"
        for labels, value in found:
            yield f"hpcmtl_{name}{{{_labels(labels)}}} {value!r}\n"


def _labels(labels: Mapping[str, str]) -> str:
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')

"""Progress on a terminal while a job runs: live bars, or plain lines for a batch log.

Layers and epochs are counted from 0 and shown from 1.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol, TextIO

from hpcmtl.results.events import LayerOver, LayerRestarted, LayerStarted, TaskEnded
from hpcmtl.results.sinks.base import IgnoringSink

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rich.progress import TaskID

    from hpcmtl.results.curves.point import TrainingPoint
    from hpcmtl.results.events import RunEvent
    from hpcmtl.results.outcome.summary import TaskStatus
    from hpcmtl.results.step_progress import StepProgress

SECONDS_BETWEEN_LINES = 10.0
_FACTS = ("layer", "epoch", "loss", "metric", "speed", "ranks")

Mode = Literal["live", "plain", "quiet"]


class Display(Protocol):
    """Shows the progress of tasks on a stream, in one of several forms."""

    def layer_started(self, task: str, layer: int, layers: int, ranks: int) -> None:
        """Shows that a layer, one of `layers` of the task, runs on `ranks` ranks from now on."""

    def step(self, progress: StepProgress) -> None:
        """Shows the progress of a layer; called as often as reports come in."""

    def layer_ended(self, task: str) -> None:
        """Removes the task's layer; the task does not run until its next layer starts."""

    def task_ended(self, task: str, status: TaskStatus, message: str = "") -> None:
        """Shows the end of a task, also of one that never started; `message` is the reason if it did not complete."""

    def measured(self, task: str, metrics: Mapping[str, float | None]) -> None:
        """Shows the metrics of the newest validation of a task."""

    def close(self) -> None:
        """Leaves the terminal as it was; no other call follows."""


class Terminal(IgnoringSink):
    """A `Sink` that shows the progress of tasks on a display."""

    def __init__(self, display: Display) -> None:
        self._display = display

    def on_event(self, event: RunEvent, at: float) -> None:  # noqa: ARG002 - a display has a clock of its own
        """See `Sink`."""
        if isinstance(event, LayerStarted):
            self._display.layer_started(event.task, event.layer, event.layers, event.ranks)
        elif isinstance(event, LayerOver | LayerRestarted):
            self._display.layer_ended(event.task)
        elif isinstance(event, TaskEnded):
            self._display.task_ended(event.task, event.status, event.message)

    def on_progress(self, progress: StepProgress) -> None:
        """See `Sink`."""
        self._display.step(progress)

    def on_point(self, task: str, point: TrainingPoint) -> None:
        """See `Sink`."""
        if point.metrics:
            self._display.measured(task, point.metrics)

    def close(self) -> None:
        """See `Sink`."""
        self._display.close()


def open_display(
    mode: Mode, stream: TextIO, width: int | None = None, clock: Callable[[], float] = time.monotonic
) -> Display:
    """Returns the display for a mode.

    Args:
        mode: ``live`` draws bars even if `stream` is no terminal itself, as mpirun forwards it to one; ``plain``
            writes a line on the running tasks at most every 10 s, and one at the end of each task; ``quiet`` nothing.
        stream: stream to write to, as a rule the standard error: the standard output is for data.
        width: columns of the terminal; None to find out.
        clock: seconds, from any origin.
    """
    if mode == "live":
        return _LiveDisplay(stream, width, clock)
    return _PlainDisplay(stream, clock) if mode == "plain" else _QuietDisplay()


@dataclass
class _Running:
    """The running layer of one task."""

    layer: int
    layers: int
    ranks: int
    latest: StepProgress | None = None
    metric: str = ""

    @property
    def fraction(self) -> float:
        """Share of the task that is done, 0 to 1."""
        return (self.layer + (self.latest.fraction if self.latest else 0.0)) / self.layers

    def facts(self) -> dict[str, str]:
        """Returns the known facts of the layer in words; an empty text for each that is not known yet."""
        step = self.latest
        return {
            "layer": f"layer {self.layer + 1}/{self.layers}",
            "epoch": f"epoch {step.epoch + 1}" if step else "",
            "loss": f"loss {step.loss:.3g}" if step and step.loss is not None else "",
            "metric": self.metric,
            "speed": f"{_short(step.samples_per_second)} samples/s" if step else "",
            "ranks": "1 rank" if self.ranks == 1 else f"{self.ranks} ranks",
        }


@dataclass
class _RunningTasks:
    """The running layers, and the start of each task; both displays keep one."""

    clock: Callable[[], float]
    running: dict[str, _Running] = field(default_factory=dict)
    started: dict[str, float] = field(default_factory=dict)
    metrics: dict[str, str] = field(default_factory=dict)

    def start(self, task: str, running: _Running) -> None:
        running.metric = self.metrics.get(task, "")
        self.running[task] = running
        self.started.setdefault(task, self.clock())

    def step(self, progress: StepProgress) -> bool:
        """Notes a report; returns False if it is late, of a layer that no longer runs."""
        running = self.running.get(progress.task)
        if running is None or running.layer != progress.layer:
            return False
        running.latest = progress
        return True

    def measured(self, task: str, metrics: Mapping[str, float | None]) -> bool:
        """Notes the first metric that has a value; returns whether the task runs."""
        found = next((f"{name} {value:.3g}" for name, value in metrics.items() if value is not None), "")
        self.metrics[task] = found
        if task in self.running:
            self.running[task].metric = found
        return task in self.running

    def end(self, task: str, status: TaskStatus, message: str) -> str:
        """Removes a task and returns its last line."""
        self.running.pop(task, None)
        start = self.started.pop(task, None)
        after = "" if start is None else f" after {self.clock() - start:.1f} s"
        return f"{task} {status}{after}" + (f": {message}" if message else "")


class _PlainDisplay:
    """Shows lines without colour or cursor movement."""

    def __init__(self, stream: TextIO, clock: Callable[[], float]) -> None:
        self._stream = stream
        self._tasks = _RunningTasks(clock)
        self._next_line = clock()

    def layer_started(self, task: str, layer: int, layers: int, ranks: int) -> None:
        self._tasks.start(task, _Running(layer, layers, ranks))

    def step(self, progress: StepProgress) -> None:
        now = self._tasks.clock()
        if self._tasks.step(progress) and now >= self._next_line:
            self._next_line = now + SECONDS_BETWEEN_LINES
            self._write("; ".join(_sentence(task, running) for task, running in self._tasks.running.items()))

    def layer_ended(self, task: str) -> None:
        self._tasks.running.pop(task, None)

    def task_ended(self, task: str, status: TaskStatus, message: str = "") -> None:
        self._write(self._tasks.end(task, status, message))

    def measured(self, task: str, metrics: Mapping[str, float | None]) -> None:
        self._tasks.measured(task, metrics)

    def close(self) -> None:
        self._stream.flush()

    def _write(self, line: str) -> None:
        self._stream.write(f"hpcmtl: {line}\n")
        self._stream.flush()


class _LiveDisplay:
    """Shows a bar for each running task, and a lasting line above the bars for each task that ended."""

    def __init__(self, stream: TextIO, width: int | None, clock: Callable[[], float]) -> None:
        from rich.console import Console  # here, as most ranks and commands draw nothing
        from rich.progress import BarColumn, TaskProgressColumn, TextColumn

        from hpcmtl.results.sinks.name_column import NameColumn
        from hpcmtl.results.sinks.whole_lines import WholeLines

        self._tasks = _RunningTasks(clock)
        self._bar_of: dict[str, TaskID] = {}
        self._bars = WholeLines(
            # The name is the column that shrinks first; the others keep their width.
            NameColumn(),
            BarColumn(bar_width=None),
            TaskProgressColumn(),
            *(TextColumn(f"{{task.fields[facts][{fact}]}}") for fact in _FACTS),
            console=Console(file=stream, force_terminal=True, width=width),
            refresh_per_second=4,  # the drawing thread shares its core with training
            transient=True,
            expand=True,
            redirect_stdout=False,  # stdout is for data and may be a pipe
        )
        self._bars.start()

    def layer_started(self, task: str, layer: int, layers: int, ranks: int) -> None:
        self._tasks.start(task, _Running(layer, layers, ranks))
        self._draw(task)

    def step(self, progress: StepProgress) -> None:
        if self._tasks.step(progress):
            self._draw(progress.task)

    def layer_ended(self, task: str) -> None:
        self._tasks.running.pop(task, None)
        self._erase(task)

    def task_ended(self, task: str, status: TaskStatus, message: str = "") -> None:
        self._erase(task)
        line = self._tasks.end(task, status, message)
        self._bars.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def measured(self, task: str, metrics: Mapping[str, float | None]) -> None:
        if self._tasks.measured(task, metrics):
            self._draw(task)

    def close(self) -> None:
        self._bars.stop()

    def _draw(self, task: str) -> None:
        running = self._tasks.running[task]
        if task not in self._bar_of:
            self._bar_of[task] = self._bars.add_task(task, total=1.0, facts=running.facts())
        self._bars.update(self._bar_of[task], completed=running.fraction, facts=running.facts())

    def _erase(self, task: str) -> None:
        if task in self._bar_of:
            self._bars.remove_task(self._bar_of.pop(task))


class _QuietDisplay:
    """Shows nothing."""

    def layer_started(self, task: str, layer: int, layers: int, ranks: int) -> None:
        pass

    def step(self, progress: StepProgress) -> None:
        pass

    def layer_ended(self, task: str) -> None:
        pass

    def task_ended(self, task: str, status: TaskStatus, message: str = "") -> None:
        pass

    def measured(self, task: str, metrics: Mapping[str, float | None]) -> None:
        pass

    def close(self) -> None:
        pass


def _sentence(task: str, running: _Running) -> str:
    facts = [fact for fact in running.facts().values() if fact]
    return f"{task} {running.fraction:.0%}, {', '.join(facts)}"


def _short(value: float) -> str:
    """Returns a rate with three digits: 87.3, 1.24k, 3.1M."""
    for limit, unit in ((1e6, "M"), (1e3, "k")):
        if value >= 0.9995 * limit:  # what rounds to 1000 has the next unit
            return f"{value / limit:.3g}{unit}"
    return f"{value:.3g}"

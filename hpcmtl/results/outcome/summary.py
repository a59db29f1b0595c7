"""The result of a job as values: `results.json` for programs and a table for people."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping  # noqa: TC003 - pydantic reads the annotations
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from hpcmtl.errors import nearest
from hpcmtl.results.format import counted
from hpcmtl.results.outcome.affinity import Affinity  # noqa: TC001 - pydantic reads the annotations

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

JobStatus = Literal["complete", "failed", "incomplete", "stopped"]
TaskStatus = Literal["complete", "failed", "stopped", "cancelled", "skipped"]

_STYLES = {
    "complete": "green",
    "failed": "bold red",
    "incomplete": "yellow",
    "stopped": "yellow",
    "cancelled": "yellow",
    "skipped": "yellow",
}


@dataclasses.dataclass(frozen=True)
class TaskResult:
    """The result of one task.

    Attributes:
        name: name of the task in the job.
        kind: train, joint, extract, predict, evaluate or python.
        status: final status; a skipped task could not start because one that it needs did not complete.
        layers: number of layers that were run to their end.
        ranks: width of each layer that was run, in order.
        engine: name of the engine; empty for a task that trained nothing.
        engine_reason: reason for the choice of the engine.
        compression: compression of the gradients, none or fp16.
        seconds: seconds of all layers.
        steps: number of optimizer steps.
        metrics: metric values by name; None for one without a value.
        undefined: reasons of the metrics without a value.
        tables: tables of numbers by name, such as a confusion matrix, as lists of rows.
        message: reason why the task did not complete; empty if it did.
        affinity: cosines between the gradients of its objectives, and groups; None if they were not compared.
    """

    name: str
    kind: str
    status: TaskStatus
    layers: int = 0
    ranks: tuple[int, ...] = ()
    engine: str = ""
    engine_reason: str = ""
    compression: str = "none"
    seconds: float = 0.0
    steps: int = 0
    metrics: Mapping[str, float | None] = dataclasses.field(default_factory=dict)
    undefined: Mapping[str, str] = dataclasses.field(default_factory=dict)
    tables: Mapping[str, list[list[float]]] = dataclasses.field(default_factory=dict)
    message: str = ""
    affinity: Affinity | None = None


class RunAttempt(NamedTuple):
    """The number and name of an attempt at a run.

    Attributes:
        attempt: number of the attempt, from 1.
        attempt_id: name of the attempt in the batch script; empty where there is none.
    """

    attempt: int = 1
    attempt_id: str = ""

    def to_event(self) -> dict[str, Any]:
        """Returns the fields for the ledger and the completion record."""
        return self._asdict()


@dataclasses.dataclass(frozen=True)
class JobResult:
    """The result of a job; `result["digit"]` is the result of the task `digit`.

    Attributes:
        job: name of the job.
        status: complete only if every task is; incomplete if none failed but some were cancelled; a stopped job can be
            resumed.
        started: ISO 8601 time of the start, with its offset.
        seconds: seconds from start to end.
        ranks: size of the world.
        tasks: results of the tasks, in the order of the job file.
        message: reason why the job did not complete, where no task is the cause.
        attempt: number of the attempt. `started` and `seconds` are those of this attempt, the seconds and steps of the
            tasks those of all attempts.
        attempt_id: name of the attempt, see `RunAttempt`.
        directory: run directory, in the process that ran the job; empty elsewhere. It is not in the record, as it may
            be moved.
    """

    job: str
    status: JobStatus
    started: str
    seconds: float
    ranks: int
    tasks: tuple[TaskResult, ...]
    message: str = ""
    attempt: int = 1
    attempt_id: str = ""
    directory: str = dataclasses.field(default="", compare=False)

    def __getitem__(self, task: str) -> TaskResult:
        """Returns the result of a task by its name.

        Raises:
            KeyError: the job has no such task.
        """
        for each in self.tasks:
            if each.name == task:
                return each
        raise KeyError(f"there is no task {task!r}{nearest(str(task), (each.name for each in self.tasks))}")


def to_dict(result: JobResult) -> dict[str, Any]:
    """Returns the contents of `results.json`: the fields by name, tasks as an object by their names."""
    fields = dataclasses.asdict(result)
    del fields["directory"]
    fields["tasks"] = {task.pop("name"): task for task in fields["tasks"]}
    return fields


def from_dict(values: Mapping[str, Any]) -> JobResult:
    """Returns the result whose `to_dict` was written as JSON and read back.

    Raises:
        AttributeError, KeyError, TypeError, ValueError: these are no fields of a result.
    """
    from pydantic import TypeAdapter

    tasks = [{**task, "name": name} for name, task in values["tasks"].items()]
    return TypeAdapter(JobResult).validate_python({**values, "tasks": tasks})


def print_table(result: JobResult, console: Console) -> None:
    """Prints a row for each task, then the status of the job and the reason for everything that did not complete.

    Columns are separated by spaces alone, so the table can be read and searched on a terminal and in a batch log.
    """
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for heading in ("task", "status", "layers", "ranks", "engine", "seconds", "metrics"):
        justify: Literal["left", "right"] = "right" if heading in {"layers", "seconds"} else "left"
        table.add_column(heading, justify=justify, overflow="fold", no_wrap=heading == "status")
    for task in result.tasks:
        table.add_row(*(Text(cell, style) for cell, style in _cells(task)))
    console.print(table)
    console.print()
    for line in _closing_lines(result):
        console.print(line, soft_wrap=True)


def _cells(task: TaskResult) -> list[tuple[str, str]]:
    metrics = "\n".join(f"{name} {'-' if value is None else f'{value:.4g}'}" for name, value in task.metrics.items())
    return [
        (task.name, ""),
        (task.status, _STYLES[task.status]),
        (str(task.layers), ""),
        (_widths(task.ranks), ""),
        (task.engine or "-", ""),
        (f"{task.seconds:.1f}", ""),
        (metrics or "-", ""),
    ]


def _widths(ranks: tuple[int, ...]) -> str:
    """Returns the ranks in the order of the layers, equal neighbours once."""
    return ", ".join(str(width) for width, _ in itertools.groupby(ranks)) or "-"


def _closing_lines(result: JobResult) -> list[Text]:
    from rich.text import Text

    complete = sum(task.status == "complete" for task in result.tasks)
    head = Text(f"{result.job}: ")
    head.append(result.status, _STYLES[result.status])
    tasks = f"{complete} of {counted(len(result.tasks), 'task')}"
    head.append(f", {tasks} complete, {counted(result.ranks, 'rank')}, {result.seconds:.1f} s")
    if result.attempt > 1:
        head.append(f", attempt {result.attempt}")
    reasons = [Text(f"{task.name} {task.status}: {task.message}") for task in result.tasks if task.message]
    reasons += [
        Text(f"{task.name}: {metric} has no value: {text}")
        for task in result.tasks
        for metric, text in task.undefined.items()
    ]
    groups = [
        Text(f"{task.name}: gradients suggest the groups {task.affinity.text}")
        for task in result.tasks
        if task.affinity
    ]
    return [head, *([Text(result.message)] if result.message else []), *reasons, *groups, *_further(result)]


def _further(result: JobResult) -> list[Text]:
    """Returns a line on the place of the results, and on the command that follows."""
    from rich.text import Text

    if not result.directory:
        return []
    run = Path(result.directory)
    if result.status == "complete":
        return [Text(f"{run}: results, artifacts and curves (`hpcmtl history {run.name}`)")]
    return [Text(f"{run}: `hpcmtl resume {run}` goes on from there")]

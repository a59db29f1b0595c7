"""How a job ended, as values: `results.json` for machines and a table for people."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping  # noqa: TC003 - pydantic reads the annotations
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

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
    """How one task ended.

    Attributes:
        name: name of the task in the job.
        kind: train, joint, extract, predict, evaluate or python.
        status: skipped is a task that could not start because one that it needs did not complete.
        layers: layers that were executed to their end.
        ranks: width of each executed layer, in order.
        engine: name of the engine; empty for a task that trained nothing.
        engine_reason: why that engine, in words.
        compression: of the gradients: none or fp16.
        seconds: sum over the layers.
        steps: optimizer steps.
        metrics: value by name.
        message: why it did not complete; empty if it did.
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
    metrics: Mapping[str, float] = dataclasses.field(default_factory=dict)
    message: str = ""


class RunAttempt(NamedTuple):
    """One of the attempts at a run.

    Attributes:
        attempt: its number, from 1.
        attempt_id: what the batch script calls it; empty where there is none.
    """

    attempt: int = 1
    attempt_id: str = ""

    def to_event(self) -> dict[str, Any]:
        """For the ledger and the record."""
        return self._asdict()


@dataclasses.dataclass(frozen=True)
class JobResult:
    """How a job ended.

    Attributes:
        job: name of the job.
        status: complete only if every task is; incomplete if none failed but some were cancelled; stopped can be
            resumed.
        started: ISO 8601 time of the start, with its offset.
        seconds: from start to end.
        ranks: size of the world.
        tasks: one a task, in the order of the job file.
        message: why it did not complete, where that is no task's fault.
        attempt: see `RunAttempt`; `started` and `seconds` are of this one, the tasks' seconds and steps of all.
        attempt_id: see `RunAttempt`.
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


def to_dict(result: JobResult) -> dict[str, Any]:
    """Return what `results.json` holds: the fields by name, tasks as an object by their names."""
    fields = dataclasses.asdict(result)
    fields["tasks"] = {task.pop("name"): task for task in fields["tasks"]}
    return fields


def from_dict(values: Mapping[str, Any]) -> JobResult:
    """The result that `to_dict` was called on, from what JSON made of it.

    Raises:
        AttributeError, KeyError, TypeError, ValueError: these are no fields of a result.
    """
    from pydantic import TypeAdapter

    tasks = [{**task, "name": name} for name, task in values["tasks"].items()]
    return TypeAdapter(JobResult).validate_python({**values, "tasks": tasks})


def print_table(result: JobResult, console: Console) -> None:
    """Print one row a task, then the status of the job and the reason of everything that did not complete.

    Columns are parted by spaces alone, so the table reads and greps alike on a terminal and in a batch log.
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
    metrics = "\n".join(f"{name} {value:.4g}" for name, value in task.metrics.items())
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
    """Write the ranks in the order of the layers, equal neighbours once."""
    return ", ".join(str(width) for width, _ in itertools.groupby(ranks)) or "-"


def _closing_lines(result: JobResult) -> list[Text]:
    from rich.text import Text

    complete = sum(task.status == "complete" for task in result.tasks)
    head = Text(f"{result.job}: ")
    head.append(result.status, _STYLES[result.status])
    head.append(f", {complete} of {len(result.tasks)} tasks complete, {_ranks(result.ranks)}, {result.seconds:.1f} s")
    if result.attempt > 1:
        head.append(f", attempt {result.attempt}")
    reasons = [Text(f"{task.name} {task.status}: {task.message}") for task in result.tasks if task.message]
    return [head, *([Text(result.message)] if result.message else []), *reasons]


def _ranks(count: int) -> str:
    return "1 rank" if count == 1 else f"{count} ranks"

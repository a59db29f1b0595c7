"""A table of a run for notebooks."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hpcmtl.client.task import TaskHandle

_COLOURS = {"complete": "#2a7a2a", "failed": "#b00020", "died": "#b00020", "running": "#1a56b0"}
_SHOWN = 4  # metrics of a task
_MOST_TASKS = 50


def table_of(job: str, status: str, tasks: Iterable[TaskHandle]) -> str:
    """Returns HTML with the status of a run and a row for each task: status, layers, seconds, metrics.

    All texts are escaped: names come from the job file, which others may have written.
    """
    rows = list(tasks)
    head = "".join(f"<th>{name}</th>" for name in ("task", "kind", "status", "layers", "seconds", "metrics"))
    body = "".join(_row(each) for each in rows[:_MOST_TASKS])
    more = f"<div>and {len(rows) - _MOST_TASKS} more tasks</div>" if len(rows) > _MOST_TASKS else ""
    title = f"<div><b>{escape(job)}</b>: {_coloured(status)}</div>"
    return f"<div>{title}<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}</div>"


def _row(task: TaskHandle) -> str:
    result = task.result
    cells = [escape(result.name), escape(result.kind), _coloured(task.status)]
    cells += [str(result.layers), f"{result.seconds:.1f}", escape(_metrics(result.metrics))]
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _metrics(metrics: Mapping[str, float | None]) -> str:
    shown = [f"{name} {'-' if value is None else f'{value:.4g}'}" for name, value in metrics.items()]
    return ", ".join(shown[:_SHOWN]) + (" ..." if len(shown) > _SHOWN else "")


def _coloured(status: str) -> str:
    return f'<span style="color:{_COLOURS.get(status, "inherit")}">{escape(status)}</span>'

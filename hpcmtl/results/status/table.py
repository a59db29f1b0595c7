"""The status of a run as tables for people: running tasks, progress, expected end and stale values."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Group
from rich.table import Table
from rich.text import Text

from hpcmtl.results.format import counted, duration
from hpcmtl.results.outcome.affinity import Affinity

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from rich.console import RenderableType

_STYLES = {
    "complete": "green",
    "running": "cyan",
    "failed": "bold red",
    "died": "bold red",
    "stopped": "yellow",
    "skipped": "yellow",
}
_GIB = 1 << 30
_BAR = 10
MOST_ROWS = 40
"""Largest number of rows of tasks, and of nodes; of more, the most urgent ones are shown."""


def status_view(status: Mapping[str, Any], most: int = MOST_ROWS) -> RenderableType:
    """Returns the tables for a status.

    Args:
        status: values of `results.status.status.read_status`, or of a diagnosis.
        most: largest number of rows, of tasks and of nodes each.
    """
    tasks = _chosen(status["tasks"], most)
    parts: list[RenderableType] = [*_head(status), Text(), _tasks(tasks)]
    if len(tasks) < len(status["tasks"]):
        others = Counter(task["status"] for name, task in status["tasks"].items() if name not in tasks)
        parts.append(
            Text(f"and {', '.join(f'{count} {what}' for what, count in others.most_common())}; --json has all")
        )
    nodes = sorted(status["nodes"], key=lambda node: -node.get("load", 0.0))[:most]
    if status["status"] in {"running", "stopping"} and nodes:
        parts += [Text(), _nodes([node for node in status["nodes"] if node in nodes])]
        if len(nodes) < len(status["nodes"]):
            parts.append(Text(f"and {len(status['nodes']) - len(nodes)} nodes with less load; --json has all"))
    remarks = list(_remarks(status))
    return Group(*parts, *([Text(), *remarks] if remarks else []))


def _head(status: Mapping[str, Any]) -> Iterator[Text]:
    tasks = status["tasks"].values()
    complete = sum(task["status"] == "complete" for task in tasks)
    head = Text(f"{status['job'] or status['run']}: ")
    state = status.get("state", status["status"])
    head.append(state, _STYLES.get(state, ""))
    head.append(
        f", {complete} of {counted(len(tasks), 'task')} complete, {counted(status['ranks'], 'rank')}, "
        f"{duration(status['seconds'])}"
    )
    yield head
    if status["ended"]:
        yield Text(f"ended {datetime.fromtimestamp(status['ended']).astimezone():%Y-%m-%d %H:%M:%S}")
    elif "sentence" in status and (status["state"] not in {"running", "preparing"} or status["slurm"]):
        yield Text(status["sentence"], "bold red" if status["over"] else "yellow")
        yield from _asked(status["slurm"])
    elif status["silent"]:
        silence = f"no update for {duration(status['age'] or 0.0)}"
        text = f"{silence}: it may have been killed, and the values shown are those of its last update"
        yield Text(text, "bold red")
    elif status["expected_seconds_left"] is not None:
        yield Text(f"about {duration(status['expected_seconds_left'])} left ({status['expected_from']})")


def _asked(slurm: Mapping[str, Any] | None) -> Iterator[Text]:
    """Yields the age of Slurm's reply, or the reason why there is none."""
    if slurm is not None and not slurm["answered"]:
        yield Text(f"Slurm did not answer: {'; '.join(slurm['problems'])}")
    elif slurm is not None and slurm["age"] >= 1:
        yield Text(f"Slurm reported this {duration(slurm['age'])} ago")


def _chosen(tasks: Mapping[str, Any], most: int) -> dict[str, Any]:
    """Returns the tasks to show: all, or of many the running, failed and waiting ones first."""
    if len(tasks) <= most:
        return dict(tasks)
    statuses = ("running", "failed", "held", "skipped", "stopped", "cancelled", "waiting", "complete")
    urgency = {status: number for number, status in enumerate(statuses)}
    first = sorted(tasks, key=lambda name: urgency.get(tasks[name]["status"], len(statuses)))[:most]
    return {name: task for name, task in tasks.items() if name in set(first)}


def _tasks(tasks: Mapping[str, Any]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for heading in ("task", "status", "layers", "done", "ranks", "steps/s", "layer ends"):
        justify: Literal["left", "right"] = "right" if heading in {"layers", "steps/s", "layer ends"} else "left"
        table.add_column(heading, justify=justify, overflow="fold", no_wrap=heading not in {"task", "layer ends"})
    for name, task in tasks.items():
        table.add_row(Text(name), Text(task["status"], _STYLES.get(task["status"], "")), *_cells(task))
    return table


def _cells(task: Mapping[str, Any]) -> Iterator[str]:
    running = task["status"] == "running"
    progress = (task["progress"] or {}) if running else {}
    yield f"{task['layers_done']}/{task['layers']}"
    share = task["fraction"]
    yield "-" if share is None else f"{'━' * round(share * _BAR):<{_BAR}} {share:4.0%}"
    first, last = task["ranks"] or (None, None)
    yield "-" if first is None or not running else str(first) if first == last else f"{first}-{last}"
    yield f"{progress['steps_per_second']:.3g}" if progress.get("steps_per_second") else "-"
    left = task["seconds_left_of_layer"]
    yield "-" if left is None else f"in {duration(left)}"


def _nodes(nodes: Iterable[Mapping[str, Any]]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for heading in ("node", "ranks", "load", "cores used", "memory held", "memory left", ""):
        justify: Literal["left", "right"] = "left" if heading in {"node", "ranks", ""} else "right"
        table.add_column(heading, justify=justify, overflow="fold")
    for node in nodes:
        first, last = node["ranks"]
        row = [node["host"], str(first) if first == last else f"{first}-{last}"]
        if "load" in node:
            row += [f"{node['load']:.1f}", f"{node['cpu']:.1f}"]
            row += [f"{node[key] / _GIB:.1f} GiB" for key in ("rss", "memory_available")]
            row += [f"{duration(node['age'])} old" if node["stale"] else ""]
        else:
            row += ["-", "-", "-", "-", "no heartbeat yet"]
        table.add_row(*row)
    return table


def _remarks(status: Mapping[str, Any]) -> Iterator[Text]:
    for suspect in status["suspects"]:
        doing = f"task {suspect['task']}, layer {suspect.get('layer', 0)}" if "task" in suspect else "no task"
        text = f"rank {suspect['rank']} is suspect: it sends no heartbeats, at {doing}"
        yield Text(text, "yellow")
    for name, task in status["tasks"].items():
        if task["message"]:
            yield Text(f"{name} {task['status']}: {task['message']}")
        if task.get("affinity"):
            yield Text(f"{name}: gradients suggest the groups {Affinity(**task['affinity']).text}")

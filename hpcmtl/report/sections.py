"""Texts, tables and drawings of one run, ready for the template of the report."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from hpcmtl.report.charts.gantt import GanttAxes, fewer, gantt
from hpcmtl.report.charts.graph import MOST_EDGES, MOST_LABELLED, task_graph, width_of
from hpcmtl.report.charts.lines import MOST_SERIES, line_chart
from hpcmtl.report.charts.shares import cosine_matrix, share_bar
from hpcmtl.report.charts.svg import element, joined
from hpcmtl.results.curves.reader import read_points
from hpcmtl.results.curves.series import series_of
from hpcmtl.results.curves.thinning import thinned
from hpcmtl.results.format import counted, duration

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from markupsafe import Markup

    from hpcmtl.report.facts.values import GanttPiece, RunOverview, TaskFacts
    from hpcmtl.results.curves.point import TrainingPoint
    from hpcmtl.results.curves.series import Series
    from hpcmtl.results.rundir.directory import RunDirectory

MOST_CURVES = 40
"""Largest number of tasks whose curves are drawn."""
MOST_EVENTS = 400
_POINTS = 200  # points of a line; a chart is some 300 pixels wide
_MOST_COSINES = 16  # objectives of a matrix


@dataclass(frozen=True, kw_only=True)
class DrawnSection:
    """One drawing of the report with its texts.

    Attributes:
        title: heading.
        drawing: drawing, or a row of them.
        text: sentence below the heading; may be empty.
        width: natural width in pixels, above which the drawing is not enlarged; 0 for the width of the page.
    """

    title: str
    drawing: Markup
    text: str = ""
    width: int = 0


def story(overview: RunOverview) -> str:
    """Returns one sentence on what a run was and how it ended."""
    summary = overview.summary
    ended = {"complete": "is complete", "failed": "failed", "preparing": "has not begun"}
    how = ended.get(summary.status, f"is {summary.status}")
    hosts = f" of {counted(len(summary.hosts), 'host')}" if summary.hosts else ""
    attempts = "" if len(summary.attempts) < 2 else f" in {len(summary.attempts)} attempts"
    done = f"{summary.complete} of {counted(summary.tasks, 'task')} complete"
    took = f" after {seconds_text(summary.seconds)}{attempts}" if summary.attempts else ""
    return f"The job {how}{took}, on {counted(summary.ranks, 'rank')}{hosts}: {done}."


def seconds_text(seconds: float) -> str:
    """Returns a duration as text, with a decimal below a minute."""
    return f"{seconds:.3g} s" if seconds < 60 else duration(seconds)


def number_text(value: float) -> str:
    """Returns a number with four digits, or all digits before the point."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def figures(overview: RunOverview) -> dict[str, str]:
    """Returns the figures at the top of the report by name."""
    summary, plan, time = overview.summary, overview.plan, overview.time
    found = {
        "time of all attempts": seconds_text(summary.seconds),
        "rank-seconds of task layers": f"{number_text(summary.rank_seconds)} s",
        "utilisation": f"{100 * time.utilisation:.0f} %" if time.total else "not measured",
    }
    if plan is not None:
        found |= {
            "predicted makespan": seconds_text(plan.makespan),
            "certified lower bound": seconds_text(plan.lower_bound),
            "plan above the bound": f"at most {100 * plan.gap:.1f} %",
            "planned utilisation": f"{100 * plan.utilisation:.0f} %",
            "planning policy": plan.policy,
        }
    if summary.attempts:
        began = datetime.fromtimestamp(summary.attempts[0].began, timezone.utc)
        found["start of the first attempt"] = f"{began:%Y-%m-%d %H:%M:%S} UTC"
    return found


def drawings(overview: RunOverview) -> Iterator[DrawnSection]:
    """Yields the drawings of a run that need no curves."""
    yield _graph(overview)
    yield from _gantts(overview)
    if overview.time.total:
        yield _time(overview)
    for task in overview.tasks:
        if task.affinity is not None:
            yield _affinity(task)


def _graph(overview: RunOverview) -> DrawnSection:
    text = "A task is at the right of the tasks that it needs; the bar at its left has the colour of its status."
    if len(overview.tasks) > MOST_LABELLED:
        text = f"Each square is one of {len(overview.tasks)} tasks, in the colour of its status."
    if len(overview.edges) > MOST_EDGES:
        text += f" Of {len(overview.edges)} dependencies the first {MOST_EDGES} are drawn."
    width = width_of(overview.tasks, overview.edges)
    return DrawnSection(title="Task graph", drawing=task_graph(overview.tasks, overview.edges), text=text, width=width)


def _gantts(overview: RunOverview) -> Iterator[DrawnSection]:
    plan, summary = overview.plan, overview.summary
    makespan = 0.0 if plan is None else plan.makespan
    seconds = max([makespan, summary.seconds, *(piece.end for piece in overview.actual)])
    ranks = max([0 if plan is None else plan.ranks, *(attempt.ranks for attempt in summary.attempts), 1])
    colours = {task.name: number for number, task in enumerate(overview.tasks)}
    if plan is not None:
        marks = {f"certified lower bound: {plan.lower_bound:.4g} s": plan.lower_bound}
        axes = GanttAxes(seconds=seconds, ranks=ranks, colours=colours, layers=plan.layers, marks=marks)
        text = f"Predicted to take {makespan:.4g} s, utilisation {100 * plan.utilisation:.0f} %. The vertical line is "
        text += (
            f"the certified lower bound, {plan.lower_bound:.4g} s. Short lines within a task are bounds of its layers."
        )
        yield _gantt("Planned: ranks over time", overview.planned, axes, text)
    if overview.actual:
        marks = {f"start of attempt {attempt.number}": attempt.start for attempt in summary.attempts[1:]}
        axes = GanttAxes(seconds=seconds, ranks=ranks, colours=colours, marks=marks)
        text = f"Took {summary.seconds:.4g} s, utilisation {100 * overview.time.utilisation:.0f} %."
        if len(summary.attempts) > 1:
            text += " Vertical lines are the starts of further attempts; the breaks between attempts are left out."
        if any(piece.outcome == "lost" for piece in overview.actual):
            text += " Layers that were lost, or failed, are pale with a broken outline."
        yield _gantt("Actual: ranks over time", overview.actual, axes, text)


def _gantt(title: str, pieces: Sequence[GanttPiece], axes: GanttAxes, text: str) -> DrawnSection:
    shown, cut = fewer(pieces, axes.seconds)
    return DrawnSection(title=title, drawing=gantt(shown, axes, title), text=f"{text} {cut}".strip())


def time_rows(overview: RunOverview) -> dict[str, str]:
    """Returns the table of where the time went: name and text."""
    time = overview.time

    def share(value: float | None) -> str:
        if value is None or not time.total:
            return "not measured"
        return f"{number_text(value)} rank-seconds, {100 * value / time.total:.1f} %"

    return {
        "train (steps, with the exchange of gradients)": share(time.train),
        "wait for data": share(time.wait),
        "communicate (apart from the steps)": share(time.communicate),
        "hold for checkpoints": share(time.checkpoint),
        "other work of task layers (start, inputs, validation, lost layers)": share(time.other),
        "idle": share(time.idle),
        "artifacts from the memory of ranks": size_text(time.bytes_from_memory),
        "artifacts from files": size_text(time.bytes_from_files),
        "checkpoints written": size_text(time.checkpoint_bytes),
        "gradients on the wire": "not measured",
    }


def size_text(size: float | None) -> str:
    """Returns a number of bytes as text, in binary units."""
    if size is None:
        return "not measured"
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.4g} {unit}"
        size /= 1024
    return f"{size:.4g} TiB"


def _time(overview: RunOverview) -> DrawnSection:
    time = overview.time
    parts = {"train": time.train, "wait for data": time.wait or 0.0, "checkpoint": time.checkpoint}
    shares = {**parts, "other": time.other, "idle": time.idle}
    text = f"{number_text(time.total)} rank-seconds: ranks times seconds of all attempts."
    return DrawnSection(title="Where the time went", drawing=share_bar(shares), text=text)


def _affinity(task: TaskFacts) -> DrawnSection:
    assert task.affinity is not None
    names = list(dict.fromkeys(name for group in task.affinity.groups for name in group))
    text = (
        f"Mean cosines between the gradients of the objectives, from -1 to 1. Suggested groups: {task.affinity.text}."
    )
    if len(names) > _MOST_COSINES:
        text += f" The first {_MOST_COSINES} of {len(names)} objectives are drawn."
    shown = names[:_MOST_COSINES]
    width = 160 + 44 * len(shown)
    matrix = cosine_matrix(shown, task.affinity.cosines)
    return DrawnSection(title=f"Affinity of the objectives of {task.name}", drawing=matrix, text=text, width=width)


def curves(run: RunDirectory, overview: RunOverview) -> tuple[list[DrawnSection], str]:
    """Returns the charts of the tasks that have curves, and a sentence on those left out; failed tasks come first."""
    known = [task for task in overview.tasks if run.curve_file(task.name).exists()]
    known.sort(key=lambda task: task.status != "failed")
    shown = [_curves_of(task.name, read_points(run.curve_file(task.name))) for task in known[:MOST_CURVES]]
    left = len(known) - MOST_CURVES
    text = (
        f"Curves of {MOST_CURVES} of {len(known)} tasks are drawn; hpcmtl history shows those of each."
        if left > 0
        else ""
    )
    return [section for section in shown if section is not None], text


def _curves_of(task: str, points: Sequence[TrainingPoint]) -> DrawnSection | None:
    fewer_points = thinned(points, _POINTS)
    found = series_of(fewer_points)
    losses = {name for point in points for name in point.losses}
    metrics = {name for point in points for name in point.metrics}
    kinds = {
        "losses": [found[name] for name in found if name in losses or name.endswith("loss")],
        "metrics": [found[name] for name in found if name in metrics and not name.endswith("loss")],
        "learning rate": [found[name] for name in found if name == "learning_rate" and _varies(found[name])],
        "weights of objectives": [found[name] for name in found if name.startswith("weight.") and _varies(found[name])],
    }
    charts = [line_chart(series, f"{title} of {task}") for title, series in kinds.items() if series]
    if not charts:
        return None
    cut = [title for title, series in kinds.items() if len(series) > MOST_SERIES]
    text = f"The first {MOST_SERIES} of the {' and '.join(cut)} are drawn." if cut else ""
    if len(fewer_points) < len(points):
        text = f"{len(points)} points were merged to {len(fewer_points)}. {text}".strip()
    return DrawnSection(
        title=task, drawing=joined(element("div", chart, class_="chart") for chart in charts), text=text
    )


def _varies(series: Series) -> bool:
    """Returns true if a series is no constant: those that are would fill the page with level lines."""
    return len(set(series.values)) > 1


def metric_rows(overview: RunOverview) -> list[Mapping[str, Any]]:
    """Returns a row for each task: its numbers and its metrics."""
    return [
        {
            "name": task.name,
            "kind": task.kind,
            "status": task.status,
            "layers": f"{task.layers_done}/{task.layers}",
            "ranks": ", ".join(map(str, dict.fromkeys(task.ranks))) or "-",
            "seconds": f"{task.seconds:.3f}",
            "rank_seconds": f"{task.rank_seconds:.3f}",
            "steps": task.steps,
            "metrics": [
                (name, task.undefined.get(name, "no value") if value is None else f"{value:.5g}")
                for name, value in task.metrics.items()
            ],
            "message": task.message,
        }
        for task in overview.tasks
    ]


def environment_rows(overview: RunOverview) -> dict[str, str]:
    """Returns the environment of the last attempt by name."""
    known = overview.environment
    versions = known.get("versions")
    found = {key: str(known[key]) for key in ("python", "platform", "launcher", "commit", "cores") if known.get(key)}
    if overview.summary.hosts:
        found["hosts"] = ", ".join(overview.summary.hosts)
    if isinstance(versions, dict):
        found |= {str(name): str(version) for name, version in versions.items() if version}
    if isinstance(known.get("arguments"), list):
        found["command"] = " ".join(map(str, known["arguments"]))
    return found

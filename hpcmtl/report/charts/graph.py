"""The task graph: producers at the left of their consumers."""

from __future__ import annotations

from collections import defaultdict
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING

from hpcmtl.report.charts.svg import drawing, element, fitting, label

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from markupsafe import Markup

    from hpcmtl.report.facts.values import GraphEdge, TaskFacts

MOST_LABELLED = 150
"""Largest number of tasks that are drawn with their names."""
MOST_EDGES = 3000
_ROWS = 40  # most small tasks below each other


def task_graph(tasks: Sequence[TaskFacts], edges: Sequence[GraphEdge]) -> Markup:
    """Returns the drawing of a task graph, and colours by status; many tasks are small and without names."""
    small = len(tasks) > MOST_LABELLED
    width, height, gap = (12.0, 12.0, 26.0) if small else (150.0, 24.0, 50.0)
    places = _places([task.name for task in tasks], edges, _ROWS if small else len(tasks))
    across, down = width + gap, height + (4 if small else 10)
    at = {name: (4 + column * across, 4 + row * down) for name, (column, row) in places.items()}
    parts = [_edge(edge, at, width, height) for edge in edges[:MOST_EDGES] if {edge.producer, edge.consumer} <= set(at)]
    parts += [_node(task, at[task.name], width, height) for task in tasks]
    right = max((x for x, _ in at.values()), default=0.0) + width + 4
    bottom = max((y for _, y in at.values()), default=0.0) + height + 4
    return drawing(right, bottom, f"graph of {len(tasks)} tasks and {len(edges)} dependencies", parts)


def width_of(drawn: Sequence[TaskFacts], edges: Sequence[GraphEdge]) -> int:
    """Returns the natural width of the drawing in pixels, above which it is not enlarged."""
    small = len(drawn) > MOST_LABELLED
    places = _places([task.name for task in drawn], edges, _ROWS if small else len(drawn))
    columns = max((column for column, _ in places.values()), default=0) + 1
    return columns * (38 if small else 200) + 8


def _places(names: Sequence[str], edges: Sequence[GraphEdge], rows: int) -> Mapping[str, tuple[int, int]]:
    """Returns column and row of each task: columns by the longest way to it, rows by those of its producers."""
    needs: dict[str, list[str]] = {name: [] for name in names}
    for edge in edges:
        if edge.consumer in needs and edge.producer in needs:
            needs[edge.consumer].append(edge.producer)
    try:
        order = list(TopologicalSorter(needs).static_order())
    except CycleError:  # no job that ran has one; a page shows what is there
        order, needs = list(names), {name: [] for name in names}
    depth: dict[str, int] = {}
    for name in order:
        depth[name] = max((depth[one] + 1 for one in needs[name]), default=0)
    columns: defaultdict[int, list[str]] = defaultdict(list)
    for name in names:
        columns[depth[name]].append(name)
    found: dict[str, tuple[int, int]] = {}
    column = 0
    for level in sorted(columns):
        members = sorted(columns[level], key=lambda name: _mean([found[one][1] for one in needs[name]]))
        for number, name in enumerate(members):
            found[name] = (column + number // rows, number % rows)
        column += (len(members) - 1) // rows + 1
    return found


def _mean(rows: Sequence[int]) -> float:
    return sum(rows) / len(rows) if rows else 0.0


def _edge(edge: GraphEdge, at: Mapping[str, tuple[float, float]], width: float, height: float) -> Markup:
    x1, y1 = at[edge.producer][0] + width, at[edge.producer][1] + height / 2
    x2, y2 = at[edge.consumer][0], at[edge.consumer][1] + height / 2
    middle = (x1 + x2) / 2
    path = f"M{x1:.0f} {y1:.0f}C{middle:.0f} {y1:.0f} {middle:.0f} {y2:.0f} {x2:.0f} {y2:.0f}"
    words = f"{edge.producer} to {edge.consumer}: {edge.kind or 'dependency'}, {edge.mode}"
    return element("path", element("title", words), d=path, class_=f"edge {'async' if edge.mode == 'async' else ''}")


def _node(task: TaskFacts, place: tuple[float, float], width: float, height: float) -> Markup:
    x, y = place
    parts = [
        element("title", f"{task.name}: {task.kind or 'task'}, {task.status}"),
        element("rect", x=x, y=y, width=width, height=height, rx=3, class_=f"node s-{task.status}"),
    ]
    if height > 20:
        parts.append(label(x + 9, y + height / 2 + 4, fitting(task.name, width - 14)))
        parts.append(element("rect", x=x, y=y, width=4, height=height, class_=f"flag s-{task.status}"))
    return element("g", *parts)

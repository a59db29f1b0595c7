"""Planners with a barrier after each depth of the graph."""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING

import numpy as np

from hpcmtl.layerplan.report.check import Placed
from planning.listing import at_most, list_schedule

if TYPE_CHECKING:
    from collections.abc import Callable

    from hpcmtl.layerplan.problem.planning_problem import PlanningProblem


def _by_depth(problem: PlanningProblem, plan: Callable[[PlanningProblem], Placed]) -> Placed:
    """Plans one depth of the graph after the other, with a barrier between them."""
    parts = []
    barrier = 0.0
    for depth in range(int(problem.levels.depths.max()) + 1):
        members = np.flatnonzero(problem.levels.depths == depth)
        placed = plan(problem.part(members, barrier))
        parts.append((members, placed.width, barrier + placed.start, barrier + placed.end))
        barrier = float(parts[-1][3].max())
    order = np.argsort(np.concatenate([part[0] for part in parts]))
    width, start, end = (np.concatenate([part[k] for part in parts])[order] for k in (1, 2, 3))
    return Placed(width, start, end, None)


def layers_of_groups(problem: PlanningProblem) -> Placed:
    """Plans layers of equal groups (Rauber, Ruenger), as described in surveys: the best number of groups per depth."""
    return _by_depth(problem, _best_groups)


def _best_groups(layer: PlanningProblem) -> Placed:
    best: Placed | None = None
    groups = np.unique(np.geomspace(1, min(layer.ranks, len(layer.names)), 24).astype(np.int64))
    for count in groups.tolist():
        columns = at_most(layer, layer.times.argmin(axis=1), layer.ranks // count)
        columns = np.where(np.isfinite(layer.times[np.arange(len(columns)), columns]), columns, layer.allowed.argmax(1))
        seconds, widths = layer.at(columns)
        free = [(0.0, group) for group in range(count)]
        start = np.zeros(len(columns))
        for task in np.argsort(-seconds, kind="stable"):  # longest first
            begin, group = heappop(free)
            start[task] = begin
            heappush(free, (begin + seconds[task], group))
        placed = Placed(widths, start, start + seconds, None)
        if best is None or placed.end.max() < best.end.max():
            best = placed
    assert best is not None
    return best


def spindle_waves(problem: PlanningProblem) -> Placed:
    """Plans waves as Spindle (ASPLOS 2025): at each depth the widths with which all tasks end within one target."""
    return _by_depth(problem, _best_target)


def _best_target(layer: PlanningProblem) -> Placed:
    times = np.where(layer.useful, layer.times, np.inf)
    low, high = times.min(axis=1).max(), np.where(layer.useful, layer.times, 0.0).max()
    best: Placed | None = None
    for target in np.geomspace(low, max(high, low), 16):
        columns = (times <= target * (1 + 1e-12)).argmax(axis=1)
        placed = list_schedule(layer, columns, layer.at(columns)[0])
        if best is None or placed.end.max() < best.end.max():
            best = placed
    assert best is not None
    return best

"""The linear program of the time-cost trade-off: widths, and a lower bound."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import coo_matrix

if TYPE_CHECKING:
    from hpcmtl.arrays import Ints
    from hpcmtl.layerplan.problem.planning_problem import PlanningProblem

LTW_RHO = 0.43  # threshold of rounding, as in Jansen, Zhang 2006


class Point(NamedTuple):
    """Holds a time in seconds and an area in rank-seconds."""

    time: float
    area: float


def lp_allocation(problem: PlanningProblem) -> tuple[Ints, float]:
    """Solves min max(critical path, area / ranks) over the convex hull of every task's (time, area) points.

    Returns:
        Rounded widths, and the optimum in seconds, which is a lower bound.
    """
    n, edges = len(problem.names), problem.levels.edges.reshape(-1, 2)
    unit = float(problem.areas.min(axis=1).sum()) / problem.ranks  # seconds; scales numbers to about 1
    rows, cols, values, limits, row = [], [], [], [], 0

    def at_most(terms: list[tuple[int, float]], limit: float) -> None:
        nonlocal row
        for column, value in terms:
            rows.append(row)
            cols.append(column)
            values.append(value)
        limits.append(limit)
        row += 1

    x, a, c, t = 0, n, 2 * n, 3 * n  # times, areas, ends, and the makespan
    hulls = [[(time / unit, area / unit / problem.ranks) for time, area in _hull(problem, task)] for task in range(n)]
    for task, hull in enumerate(hulls):
        for (t0, a0), (t1, a1) in itertools.pairwise(hull):
            slope = (a1 - a0) / (t1 - t0)
            at_most([(x + task, slope), (a + task, -1.0)], slope * t0 - a0)
        at_most([(x + task, 1.0), (c + task, -1.0)], 0.0)
        at_most([(c + task, 1.0), (t, -1.0)], 0.0)
    for before, after in edges.tolist():
        at_most([(c + before, 1.0), (x + after, 1.0), (c + after, -1.0)], 0.0)
    at_most([(a + task, 1.0) for task in range(n)] + [(t, -1.0)], 0.0)
    bounds = [(hull[-1][0], hull[0][0]) for hull in hulls] + [(hull[0][1], None) for hull in hulls]
    matrix = coo_matrix((values, (rows, cols)), shape=(row, 3 * n + 1)).tocsr()
    goal = np.zeros(3 * n + 1)
    goal[t] = 1.0
    solved = linprog(goal, A_ub=matrix, b_ub=limits, bounds=[*bounds, *[(0, None)] * n, (0, None)], method="highs")
    if solved.status != 0:
        raise RuntimeError(f"the linear program was not solved: {solved.message}")
    return np.array([_rounded(problem, task, solved.x[task] * unit) for task in range(n)]), float(solved.fun) * unit


def _hull(problem: PlanningProblem, task: int) -> list[Point]:
    """Returns the lower convex hull of (time, area), from the slowest and cheapest point to the fastest."""
    hull: list[Point] = []
    for column in np.flatnonzero(problem.useful[task]):
        point = Point(float(problem.times[task, column]), float(problem.areas[task, column]))
        while hull and hull[-1].area >= point.area:
            hull.pop()
        while len(hull) > 1 and _above(hull[-2], hull[-1], point):
            hull.pop()
        hull.append(point)
    return hull


def _above(first: Point, middle: Point, last: Point) -> bool:
    share = (first.time - middle.time) / (first.time - last.time)
    return middle.area >= first.area + share * (last.area - first.area)


def _rounded(problem: PlanningProblem, task: int, seconds: float) -> int:
    """Returns the width with the time next to `seconds`: the slower one within `LTW_RHO` of the interval."""
    columns = np.flatnonzero(problem.useful[task])
    times = problem.times[task, columns]
    k = int(np.searchsorted(-times, -seconds * (1 + 1e-9), side="right")) - 1
    if k + 1 >= len(columns) or k < 0:
        return int(columns[min(max(k, 0), len(columns) - 1)])
    return int(columns[k] if seconds >= LTW_RHO * times[k + 1] + (1 - LTW_RHO) * times[k] else columns[k + 1])

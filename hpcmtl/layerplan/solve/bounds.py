"""Lower bounds on the makespan, in seconds; valid if the times of the problem are right."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hpcmtl.layerplan.solve.prices import window_price_bound

if TYPE_CHECKING:
    from hpcmtl.arrays import Floats, Ints
    from hpcmtl.layerplan.problem.planning_problem import PlanningProblem
    from hpcmtl.layerplan.solve.allocate import Prices
    from hpcmtl.layerplan.solve.prices import WindowPrices

MILESTONES = 256  # maximum number of tasks between which windows are considered
MOST_PAIRS = 2_560_000  # maximum number of pairs of a task and a milestone
ROUNDING = 1e-12  # relative error of a bound by rounding of sums


def lower_bound(problem: PlanningProblem, prices: Prices | None, windows: WindowPrices | None = None) -> float:
    """Returns the largest of the bounds in seconds, reduced by the possible rounding error.

    Args:
        problem: the tasks.
        prices: of the critical path and the area, from `allocate`.
        windows: of the paths over tasks and windows, from `price_windows`.
    """
    if not problem.names:
        return 0.0
    found = [simple_bound(problem), window_bound(problem)]
    if prices is not None:
        found.append(price_bound(problem, prices))
    if windows is not None:
        found.append(window_price_bound(problem, windows))
    return max(found) * (1 - ROUNDING)


def gap(makespan: float, lower_bound: float) -> float:
    """Returns the excess of a makespan over the bound as a fraction: 0.05 means at most 5 % from optimal."""
    return makespan / lower_bound - 1 if lower_bound > 0 else 0.0


def bound_of_widths(problem: PlanningProblem, seconds: Floats, widths: Ints) -> float:
    """Returns max(longest path, area / ranks) for tasks of `seconds` and `widths` (n,): no order of them is shorter."""
    return max(float(problem.levels.bottom(seconds).max()), float(seconds @ widths) / problem.ranks)


def simple_bound(problem: PlanningProblem) -> float:
    """Returns the larger of least area / ranks and the critical path at the fastest widths with release times."""
    area = problem.areas.min(axis=1).sum() / problem.capacity
    fastest = problem.times.min(axis=1) / problem.top_speed
    return float(max(area, (problem.release + problem.levels.bottom(fastest)).max()))


def price_bound(problem: PlanningProblem, prices: Prices) -> float:
    """Returns the sum of the tasks' lowest costs under given prices.

    In every plan sum(flow * t) <= critical path <= makespan, and area / ranks <= makespan. Every convex combination of
    the two is therefore a bound. It separates over tasks: each takes its cheapest width (Lagrangian relaxation of the
    discrete time-cost trade-off; cf. Lepere, Trystram, Woeginger 2001).
    """
    flow, weight = prices
    price = weight / problem.top_speed * flow[:, None] + (1 - weight) / problem.capacity * problem.widths
    costs = np.where(problem.allowed, np.where(problem.allowed, problem.times, 0.0) * price, np.inf)
    return float(costs.min(axis=1).sum())


def window_bound(problem: PlanningProblem) -> float:
    """Returns the longest path in which the work between two of its tasks is counted as well.

    If v depends on u, then all tasks that depend on u and precede v run between them: v starts no sooner than the end
    of u plus the least area of these tasks over all ranks. The longest chain of such windows and of plain edges is a
    bound (energetic reasoning as in cumulative scheduling, over the order of tasks instead of over time). Only windows
    between `MILESTONES` tasks are considered, those on the longest paths at each depth.
    """
    seconds = problem.times.min(axis=1) / problem.top_speed
    areas = problem.areas.min(axis=1) / problem.capacity
    levels = problem.levels
    milestones = _milestones(problem, seconds)
    before = levels.before(milestones)  # (n, S)
    after = levels.turned.before(milestones)  # (n, S)
    between = (after * areas[:, None]).T @ before.astype(np.float64)  # (S, S) area after one and before another
    since = np.where(before[milestones], between, -np.inf)
    earlier = areas @ before  # (S,) area before each milestone
    place = np.full(len(seconds), -1)
    place[milestones] = np.arange(len(milestones))
    ends = np.full(len(milestones), -np.inf)

    def start(tasks: Ints, known: Floats) -> Floats:
        """Returns the starts of some tasks, given the starts `known` that their producers allow."""
        at = place[tasks]
        marked = np.flatnonzero(at >= 0)
        if len(marked):
            column = at[marked]
            waits = np.maximum((ends[:, None] + since[:, column]).max(axis=0), earlier[column])
            known[marked] = np.maximum(known[marked], waits)
            ends[column] = known[marked] + seconds[tasks[marked]]
        return known

    starts = levels.top(seconds, problem.release, start)
    tail = np.maximum(levels.bottom(seconds) - seconds, 0.0)
    tail[milestones] = np.maximum(tail[milestones], areas @ after)
    return float((starts + seconds + tail).max())


def _milestones(problem: PlanningProblem, seconds: Floats) -> Ints:
    """Returns the tasks on the longest paths, equally many at each depth; in deep graphs, at evenly spaced depths."""
    depths = problem.levels.depths
    through = problem.levels.through(seconds)
    count = int(depths.max()) + 1
    most = min(MILESTONES, max(MOST_PAIRS // len(depths), 1))
    chosen = np.unique(np.linspace(0, count - 1, min(count, most)).astype(np.int64))
    each = max(most // len(chosen), 1)
    order = np.lexsort((problem.name_order, -through, depths))
    begins = np.searchsorted(depths[order], np.arange(count))
    rank = np.arange(len(order)) - begins[depths[order]]
    milestones: Ints = np.sort(order[(rank < each) & np.isin(depths[order], chosen)])
    return milestones

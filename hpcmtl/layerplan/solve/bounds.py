"""Lower bounds: seconds that no plan can be faster than, if the times of the problem are right."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from hpcmtl.arrays import Floats, Ints
    from hpcmtl.layerplan.problem.planning_problem import PlanningProblem
    from hpcmtl.layerplan.solve.allocate import Prices

MILESTONES = 256  # tasks between which the area is looked at
LOOKED_AT = 2_560_000  # pairs of a task and a milestone, at most
ROUNDING = 1e-12  # part of a bound that sums of floats may get wrong


def lower_bound(problem: PlanningProblem, prices: Prices | None) -> float:
    """The best of all bounds here, made safe against rounding."""
    if not problem.names:
        return 0.0
    found = [simple_bound(problem), window_bound(problem)]
    if prices is not None:
        found.append(price_bound(problem, prices))
    return max(found) * (1 - ROUNDING)


def gap(makespan: float, lower_bound: float) -> float:
    """How much longer than the bound a plan is, as a part of it: 0.05 is at most 5 % from optimal."""
    return makespan / lower_bound - 1 if lower_bound > 0 else 0.0


def bound_of_widths(problem: PlanningProblem, seconds: Floats, widths: Ints) -> float:
    """Seconds that no order of tasks with these `seconds` and `widths` (n,) can beat: longest way, or area."""
    return max(float(problem.levels.bottom(seconds).max()), float(seconds @ widths) / problem.ranks)


def simple_bound(problem: PlanningProblem) -> float:
    """The larger of the least area over the ranks and the critical path at the fastest widths, releases counted."""
    area = problem.areas.min(axis=1).sum() / problem.capacity
    fastest = problem.times.min(axis=1) / problem.top_speed
    return float(max(area, (problem.release + problem.levels.bottom(fastest)).max()))


def price_bound(problem: PlanningProblem, prices: Prices) -> float:
    """What the tasks cost at some prices, each at its cheapest width.

    In every plan sum(flow * t) <= critical path <= makespan, and area / ranks <= makespan, so that any convex
    combination of the two is a bound. It separates over tasks: each takes its cheapest width (Lagrangian relaxation of
    the discrete time-cost trade-off; cf. Lepere, Trystram, Woeginger 2001).
    """
    flow, weight = prices
    price = weight / problem.top_speed * flow[:, None] + (1 - weight) / problem.capacity * problem.widths
    costs = np.where(problem.allowed, np.where(problem.allowed, problem.times, 0.0) * price, np.inf)
    return float(costs.min(axis=1).sum())


def window_bound(problem: PlanningProblem) -> float:
    """Critical path that counts the work between its tasks as well.

    If v comes after u, then so does, between them, all that depends on u and that v depends on: v starts no sooner than
    the end of u plus the least area of these tasks over all ranks. The longest chain of such windows and of plain edges
    is a bound (energetic reasoning as in cumulative scheduling, over the order of tasks instead of over time). Windows
    are looked at between `MILESTONES` tasks alone, those on the longest ways at each depth.
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
        """The starts of some tasks, which their producers allow from `known` on."""
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
    """The tasks on the longest ways, as many at each depth; of very deep graphs, at evenly spread depths."""
    depths = problem.levels.depths
    through = problem.levels.through(seconds)
    count = int(depths.max()) + 1
    most = min(MILESTONES, max(LOOKED_AT // len(depths), 1))
    chosen = np.unique(np.linspace(0, count - 1, min(count, most)).astype(np.int64))
    each = max(most // len(chosen), 1)
    order = np.lexsort((problem.name_order, -through, depths))
    begins = np.searchsorted(depths[order], np.arange(count))
    rank = np.arange(len(order)) - begins[depths[order]]
    milestones: Ints = np.sort(order[(rank < each) & np.isin(depths[order], chosen)])
    return milestones

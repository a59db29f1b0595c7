"""Lower bounds: seconds that no plan can be faster than, if the times of the problem are right."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from hpcmtl.layerplan.problem import PlanningProblem
    from hpcmtl.taskgraph.levels import Floats


def simple_bound(problem: PlanningProblem) -> float:
    """The larger of the least area over the ranks and the critical path at the fastest widths, releases counted."""
    if not problem.names:
        return 0.0
    area = problem.areas.min(axis=1).sum() / problem.ranks
    return float(max(area, (problem.release + problem.levels.bottom(problem.times.min(axis=1))).max()))


def gap(makespan: float, lower_bound: float) -> float:
    """How much longer than the bound a plan is, as a part of it: 0.05 is at most 5 % from optimal."""
    return makespan / lower_bound - 1 if lower_bound > 0 else 0.0


def priced_costs(problem: PlanningProblem, flow: Floats, path_weight: float) -> Floats:
    """What every width of every task costs at some prices; the sum of the cheapest is a lower bound.

    In every plan sum(flow * t) <= critical path <= makespan, and area / ranks <= makespan, so that any convex
    combination of the two is a bound. It separates over tasks: each takes its cheapest width (Lagrangian relaxation of
    the discrete time-cost trade-off; cf. Lepere, Trystram, Woeginger 2001).

    Args:
        problem: the tasks.
        flow: (n,) unit flow from sources to sinks, see `Levels.soft_flow`.
        path_weight: weight of the critical path against the area, from 0 to 1.

    Returns:
        (n, K) seconds; inf where a width is not allowed.
    """
    price = path_weight * flow[:, None] + (1 - path_weight) / problem.ranks * problem.widths
    costs: Floats = np.where(problem.allowed, np.where(problem.allowed, problem.times, 0.0) * price, np.inf)
    return costs

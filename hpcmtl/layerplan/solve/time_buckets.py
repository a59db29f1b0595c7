"""Packing in time buckets, for graphs with very many tasks.

The time to place a task grows with the number of moments at which another task starts or ends while it runs. If tasks
start and end only at bucket boundaries, there are never more moments than boundaries. Most of the loss by rounding is
then recovered: every task starts as soon as its ranks and producers allow, in the order found.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from hpcmtl.layerplan.solve.packing import Schedule, pack, replay

if TYPE_CHECKING:
    from collections.abc import Callable

    from hpcmtl.arrays import Floats, Ints
    from hpcmtl.layerplan.problem.planning_problem import PlanningProblem

TICKS = 2048  # number of buckets up to the lower bound of a plan
MOST_TICKS = 2**18
ROUNDED = 0.05  # largest relative increase of path and area by rounding


def bucketed_packing(
    problem: PlanningProblem, columns: Ints, bound: float
) -> Callable[[Ints, float | None], Schedule] | None:
    """Returns a packing function (columns, moldable_until) with time buckets that suit the widths `columns` (n,).

    Returns None if no bucket size is suitable: all durations are zero, ranks differ in speed, or some tasks are too
    short.
    """
    if bound <= 0 or problem.rules.rank_speed is not None:
        return None
    ticks = TICKS
    while ticks <= MOST_TICKS:
        tick = bound / ticks
        bucketed = replace(problem, times=np.ceil(problem.times / tick), release=np.ceil(problem.release / tick))
        if _close(problem, bucketed, columns, tick):
            break
        ticks *= 2
    else:
        return None

    def packed(columns: Ints, moldable_until: float | None) -> Schedule:
        plan = pack(bucketed, columns, moldable_until=None if moldable_until is None else moldable_until / tick)
        return replay(problem, plan, problem.at(plan.columns)[0])

    return packed


def _close(problem: PlanningProblem, bucketed: PlanningProblem, columns: Ints, tick: float) -> bool:
    """Returns True if rounding adds little to the longest path and to the area."""

    def path_and_area(of: PlanningProblem) -> Floats:
        seconds, widths = of.at(columns)
        return np.array([of.levels.bottom(seconds).max(initial=0.0), float(seconds @ widths)])

    return bool((path_and_area(bucketed) * tick <= path_and_area(problem) * (1 + ROUNDED)).all())

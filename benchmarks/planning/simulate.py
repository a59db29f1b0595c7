"""Simulated dispatch with times that differ from the plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hpcmtl.dispatch.scheduling.rolling_horizon import NEXT
from hpcmtl.layerplan.solve.packing import FixedPart, Schedule, pack_next, replay

if TYPE_CHECKING:
    from hpcmtl.arrays import Floats
    from hpcmtl.layerplan.problem.planning_problem import PlanningProblem

LATE = 1.01  # expected end of a late task, as a factor of the current time


def realised(problem: PlanningProblem, plan: Schedule, factors: Floats) -> Schedule:
    """Returns a plan's schedule if every rank keeps the planned order and tasks take `factors` (n,) times as long."""
    return replay(problem, plan, problem.at(plan.columns)[0] * factors)


def with_noise(problem: PlanningProblem, plan: Schedule, factors: Floats, bound: float) -> Schedule:
    """Simulates a dispatcher that packs the next tasks at every end and starts those that can start at once.

    The dispatcher knows the predicted end of a running task, and that the task is late once this time has passed.
    """
    columns, first_rank = plan.columns.copy(), plan.first_rank.copy()
    started = np.zeros(len(columns), dtype=np.bool_)
    start, end, expected = (np.full(len(columns), np.inf) for _ in range(3))
    now = 0.0
    while not started.all():
        running = Schedule(columns, start, np.where(end <= now, end, np.maximum(expected, now * LATE)), first_rank)
        packed = pack_next(problem, columns, bound, FixedPart(now, started, running), most=NEXT)
        begin = ~started & (packed.start <= now)
        columns[begin], first_rank[begin] = packed.columns[begin], packed.first_rank[begin]
        seconds = problem.at(columns)[0][begin]
        start[begin], expected[begin], end[begin] = now, now + seconds, now + seconds * factors[begin]
        started |= begin
        now = end[end > now].min(initial=np.inf)
    return Schedule(columns, start, end, first_rank)

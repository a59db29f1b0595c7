"""A dispatch that goes otherwise than planned: times that vary, and ranks that are lost."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from hpcmtl.dispatch.scheduling.rolling_horizon import NEXT
from hpcmtl.layerplan.solve.packing import FixedPart, Schedule, pack_next, replay
from hpcmtl.layerplan.solve.replan import keep, replan

if TYPE_CHECKING:
    from hpcmtl.arrays import Bools, Floats
    from hpcmtl.layerplan.problem.planning_problem import PlanningProblem

LATE = 1.01  # a task that is late is expected to end at so many times the present


def realised(problem: PlanningProblem, plan: Schedule, factors: Floats, past: FixedPart | None = None) -> Schedule:
    """What a plan becomes if every rank keeps to the plan's order, and tasks take `factors` (n,) times as long."""
    return replay(problem, plan, problem.at(plan.columns)[0] * factors, past)


def with_noise(problem: PlanningProblem, plan: Schedule, factors: Floats, bound: float) -> Schedule:
    """Run tasks as a dispatcher that packs what comes next at every end, and starts what then starts at once.

    Of a running task only its predicted end is known, and that it is late once this has passed.
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


def after_loss(problem: PlanningProblem, plan: Schedule, moment: float, gone: Bools, *, anew: bool) -> Schedule:
    """Lose ranks at a moment: what runs on them begins again; the rest goes on as planned, or is planned anew."""
    started = plan.start < moment
    widths = problem.widths[plan.columns]
    hit = np.array([gone[first : first + width].any() for first, width in zip(plan.first_rank, widths, strict=True)])
    started &= ~(hit & (plan.end > moment))
    after = replace(problem, rules=replace(problem.rules, lost=gone))
    return (replan if anew else keep)(after, plan, FixedPart(moment, started, plan))

"""Simulated dispatch with times that differ from the plan, and with lost ranks."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from hpcmtl.dispatch.scheduling.rolling_horizon import NEXT
from hpcmtl.layerplan.solve.bounds import bound_of_widths
from hpcmtl.layerplan.solve.packing import FixedPart, Schedule, pack, pack_next, replay, turns_by_start
from hpcmtl.layerplan.solve.replan import new_plan, possible_columns

if TYPE_CHECKING:
    from hpcmtl.arrays import Bools, Floats
    from hpcmtl.layerplan.problem.planning_problem import PlanningProblem

LATE = 1.01  # expected end of a late task, as a factor of the current time


def realised(problem: PlanningProblem, plan: Schedule, factors: Floats) -> Schedule:
    """Returns a plan's schedule if every rank keeps the planned order and tasks take `factors` (n,) times as long."""
    return replay(problem, plan, problem.at(plan.columns)[0] * factors)


def with_noise(
    problem: PlanningProblem, plan: Schedule, factors: Floats, bound: float, fixed: FixedPart | None = None
) -> Schedule:
    """Simulates a dispatcher that packs the next tasks at every end and starts those that can start at once.

    The dispatcher knows the predicted end of a running task, and that the task is late once this time has passed.

    Args:
        problem: the tasks.
        plan: widths to begin with.
        factors: (n,) true over predicted seconds.
        bound: seconds by which the packing tries to end.
        fixed: the tasks that have started; none by default.
    """
    columns, first_rank = plan.columns.copy(), plan.first_rank.copy()
    now, started = (0.0, np.zeros(len(columns), dtype=np.bool_)) if fixed is None else (fixed.now, fixed.started.copy())
    start, end = np.where(started, plan.start, np.inf), np.where(started, plan.end, np.inf)
    expected = end.copy()
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


def after_loss(problem: PlanningProblem, plan: Schedule, moment: float, gone: Bools, *, widened: bool) -> Schedule:
    """Simulates a loss of ranks: the living ranks close up, and tasks that ran on lost ones start again.

    Args:
        problem: tasks without rules of place.
        plan: the schedule until then.
        moment: seconds of the loss.
        gone: (P,) true for a lost rank.
        widened: true for new widths, as the dispatcher does; else the planned order and widths, narrowed where needed.
    """
    started = plan.start < moment
    widths = problem.widths[plan.columns]
    hit = np.array([gone[first : first + width].any() for first, width in zip(plan.first_rank, widths, strict=True)])
    started &= ~(hit & (plan.end > moment))
    left = int((~gone).sum())
    fewer = problem.widths <= left
    after = replace(problem, times=problem.times[:, fewer], widths=problem.widths[fewer], ranks=left)
    columns = possible_columns(after, widths)
    first_rank = np.minimum(np.searchsorted(np.flatnonzero(~gone), plan.first_rank), left - after.widths[columns])
    fixed = FixedPart(moment, started, Schedule(columns, plan.start, plan.end, first_rank))
    if not widened:
        return pack(after, columns, turn=turns_by_start(after, plan.start), fixed=fixed)
    bound = moment + _widen(after, fixed)
    return with_noise(after, fixed.schedule, np.ones(len(columns)), bound, fixed)


def _widen(problem: PlanningProblem, fixed: FixedPart) -> float:
    """Gives waiting tasks new widths, in the columns of `fixed`; returns a lower bound of their seconds."""
    columns, end = fixed.schedule.columns, fixed.schedule.end
    waiting, running = np.flatnonzero(~fixed.started), np.flatnonzero(fixed.started & (end > fixed.now))
    release, edges = np.maximum(problem.release, fixed.now), problem.levels.edges.reshape(-1, 2)
    edges = edges[fixed.started[edges[:, 0]]]
    np.maximum.at(release, edges[:, 1], end[edges[:, 0]])
    rest = problem.part(waiting, fixed.now, release[waiting])
    none, zeros = np.zeros(len(waiting)), np.zeros(len(waiting), dtype=np.int64)
    first, width = fixed.schedule.first_rank, problem.widths[columns]
    busy = tuple((range(first[i], first[i] + width[i]), float(end[i]) - fixed.now) for i in running.tolist())
    around = FixedPart(0.0, none.astype(np.bool_), Schedule(zeros, none, none, zeros), busy)
    columns[waiting] = new_plan(rest, columns[waiting], around).columns
    return bound_of_widths(rest, *rest.at(columns[waiting]))

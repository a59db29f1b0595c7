"""A dispatch that goes otherwise than planned: times that vary, and ranks that are lost."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from hpcmtl.layerplan.packing import Past, Schedule, pack, replay
from hpcmtl.layerplan.replan import keep, replan

if TYPE_CHECKING:
    from hpcmtl.layerplan.problem import PlanningProblem
    from hpcmtl.taskgraph.levels import Bools, Floats

ROUNDS = 100  # how often the rest is planned anew in a noisy run


def realised(problem: PlanningProblem, plan: Schedule, factors: Floats, past: Past | None = None) -> Schedule:
    """What a plan becomes if every rank keeps to the plan's order, and tasks take `factors` (n,) times as long."""
    return replay(problem, plan, problem.at(plan.columns)[0] * factors, past)


def with_noise(problem: PlanningProblem, plan: Schedule, factors: Floats, bound: float) -> Schedule:
    """Run a plan while its rest is packed again every so often, from what has really happened by then.

    Of a running task only its predicted end is known, and that it is late once this has passed.
    """
    columns = plan.columns
    really = realised(problem, plan, factors)
    for k in range(1, ROUNDS):
        now = float(np.quantile(really.end, k / ROUNDS))
        started = really.start <= now
        predicted = really.start + problem.at(plan.columns)[0]
        expected = np.where(really.end <= now, really.end, np.maximum(predicted, now))
        past = Past(now, started, replace(really, end=expected))
        old = replace(plan, start=np.where(started, really.start, plan.start))
        allocated = np.where(started, plan.columns, columns)
        plan = min(
            (static(problem, old, past), pack(problem, allocated, mould=bound, past=past)),
            key=lambda schedule: schedule.makespan,
        )
        truth = Past(now, started, really)
        really = realised(problem, plan, factors, truth)
    return really


def static(problem: PlanningProblem, plan: Schedule, past: Past) -> Schedule:
    """What the plan becomes by prediction if its order on every rank is kept."""
    return replay(problem, plan, problem.at(plan.columns)[0], past)


def after_loss(problem: PlanningProblem, plan: Schedule, moment: float, gone: Bools, *, anew: bool) -> Schedule:
    """Lose ranks at a moment: what runs on them begins again; the rest goes on as planned, or is planned anew."""
    started = plan.start < moment
    widths = problem.widths[plan.columns]
    hit = np.array([gone[first : first + width].any() for first, width in zip(plan.first_rank, widths, strict=True)])
    started &= ~(hit & (plan.end > moment))
    after = replace(problem, rules=replace(problem.rules, lost=gone))
    return (replan if anew else keep)(after, plan, Past(moment, started, plan))

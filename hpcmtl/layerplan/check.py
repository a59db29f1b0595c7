"""An independent check of plans: says what is wrong, whoever made the plan.

Shares no code with the planner but the problem itself, so that a mistake of the planner cannot hide here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hpcmtl.layerplan.plan import LayerPlan, PlannedTask
    from hpcmtl.layerplan.problem import PlanningProblem

TOLERANCE = 1e-9  # of the makespan: what adding seconds in another order may change


def violations(problem: PlanningProblem, plan: LayerPlan) -> list[str]:
    """Everything in which a plan breaks the problem's rules; empty for a valid plan."""
    if tuple(task.name for task in plan.tasks) != problem.names:
        return ["the plan's tasks are not those of the problem, in its order"]
    slack = TOLERANCE * max(plan.makespan, 1e-300)
    return [
        *_widths(problem, plan, slack),
        *_precedence(problem, plan, slack),
        *_ranks(plan, slack),
        *_barriers(plan, slack),
        *_totals(plan, slack),
    ]


def _widths(problem: PlanningProblem, plan: LayerPlan, slack: float) -> Iterator[str]:
    column = {int(width): k for k, width in enumerate(problem.widths)}
    for i, task in enumerate(plan.tasks):
        seconds = problem.times[i, column[task.width]] if task.width in column else np.inf
        if not np.isfinite(seconds):
            yield f"{task.name}: {task.width} ranks are not allowed"
        elif abs(task.end - task.start - seconds) > slack:
            yield f"{task.name}: takes {seconds} s on {task.width} ranks, not {task.end - task.start} s"
        if task.start < problem.release[i] - slack:
            yield f"{task.name}: starts at {task.start} s, before its release at {problem.release[i]} s"


def _precedence(problem: PlanningProblem, plan: LayerPlan, slack: float) -> Iterator[str]:
    for producer, consumer in problem.levels.edges.tolist():
        before, after = plan.tasks[producer], plan.tasks[consumer]
        if after.start < before.end - slack:
            yield f"{after.name}: starts at {after.start} s, before {before.name} ends at {before.end} s"


def _ranks(plan: LayerPlan, slack: float) -> Iterator[str]:
    """Walk through the tasks by start and remember who holds every rank until when."""
    until = np.zeros(plan.ranks)
    holder = np.full(plan.ranks, -1)
    for i in sorted(range(len(plan.tasks)), key=lambda i: (plan.tasks[i].start, plan.tasks[i].end)):
        task = plan.tasks[i]
        block = slice(task.first_rank, task.first_rank + task.width)
        if task.first_rank < 0 or block.stop > plan.ranks or task.width < 1:
            yield f"{task.name}: ranks {block.start} to {block.stop - 1} are not among 0 to {plan.ranks - 1}"
            continue
        for other in np.unique(holder[block][until[block] > task.start + slack]):
            yield f"{task.name}: starts at {task.start} s on ranks that {_claim(plan.tasks[other])}"
        until[block], holder[block] = np.maximum(until[block], task.end), i


def _claim(task: PlannedTask) -> str:
    return f"{task.name} holds ({task.first_rank} to {task.first_rank + task.width - 1} until {task.end} s)"


def _barriers(plan: LayerPlan, slack: float) -> Iterator[str]:
    ended = 0.0
    for wave in plan.waves() if plan.barrier else ():
        for task in wave:
            if task.start < ended - slack:
                yield f"{task.name}: wave {task.wave} starts at {task.start} s, before the barrier at {ended} s"
        ended = max(ended, *(task.end for task in wave))


def _totals(plan: LayerPlan, slack: float) -> Iterator[str]:
    end = max((task.end for task in plan.tasks), default=0.0)
    if abs(plan.makespan - end) > slack:
        yield f"the makespan is {end} s, not {plan.makespan} s"
    if plan.lower_bound > end + slack:
        yield f"the lower bound of {plan.lower_bound} s is above the makespan of {end} s"

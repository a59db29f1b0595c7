"""New group widths while a job runs: after times that differ from their predictions, and after a loss of ranks."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from hpcmtl.layerplan.model.speedup import Speedups
from hpcmtl.layerplan.problem.constraints import apply_constraints
from hpcmtl.layerplan.problem.planning_problem import make_problem
from hpcmtl.layerplan.solve.allocate import FEWEST_ROUNDS, allocate, allocation
from hpcmtl.layerplan.solve.bounds import lower_bound
from hpcmtl.layerplan.solve.candidates import LARGE, PACKED
from hpcmtl.layerplan.solve.packing import pack

if TYPE_CHECKING:
    from hpcmtl.arrays import Ints
    from hpcmtl.layerplan.plan import LayerPlan, PlannedTask
    from hpcmtl.layerplan.problem.planning_problem import PlanningProblem
    from hpcmtl.layerplan.solve.packing import FixedPart, Schedule
    from hpcmtl.taskgraph.graph import TaskGraph

WHOLE = (0, 1.0)  # allocation and cap as in `PACKED`: a task that is left alone may have all ranks


def new_plan(problem: PlanningProblem, columns: Ints, fixed: FixedPart, old: Schedule | None = None) -> Schedule:
    """Returns the schedule with the earliest predicted end of all waiting tasks.

    Args:
        problem: the tasks, or remaining parts of tasks, that have not started.
        columns: (n,) current widths; they are kept unless others are better.
        fixed: the ranks that are busy.
        old: the current plan, packed by present predictions; it is kept unless another one is better.
    """
    # Ranks wait for the result; more rounds were measured to find no better one.
    found = allocate(problem, FEWEST_ROUNDS)
    bound = lower_bound(problem, found.prices)
    choices = dict.fromkeys((*LARGE, *PACKED[:2], WHOLE))
    candidates = [allocation(problem, found, *choice) for choice in choices]
    schedules = [] if old is None else [old]
    schedules.append(pack(problem, columns, fixed=fixed))
    schedules += [pack(problem, choice, moldable_until=bound, fixed=fixed) for choice in (columns, *candidates)]
    return min(schedules, key=lambda schedule: schedule.makespan)


def narrow_plan(plan: LayerPlan, graph: TaskGraph) -> LayerPlan:
    """Returns a plan in which every group is as wide as planned, or the next narrower width that the ranks allow.

    The scheduler of an adaptive policy then looks for better widths, see `new_plan`.

    Args:
        plan: with the number of ranks and the machine that are left.
        graph: the tasks of the plan.

    Raises:
        InputError: a task needs more ranks than the plan has, or fits nowhere on them.
    """
    problem = apply_constraints(make_problem(graph, plan.ranks, Speedups(machine=plan.machine)))
    index, wanted = [graph.index[task.name] for task in plan.tasks], np.zeros(len(plan.tasks), dtype=np.int64)
    wanted[index] = [task.width for task in plan.tasks]
    widths = problem.widths[possible_columns(problem, wanted)[index]].tolist()
    return replace(plan, tasks=tuple(map(_with_width, plan.tasks, widths)))


def possible_columns(problem: PlanningProblem, wanted: Ints) -> Ints:
    """Returns the columns (n,) of the widest allowed widths up to `wanted` (n,), or else of the narrowest allowed."""
    at_most = np.searchsorted(problem.widths, wanted, side="right") - 1
    allowed = np.where(problem.allowed, np.arange(len(problem.widths)), -1)
    below = np.take_along_axis(np.maximum.accumulate(allowed, axis=1), at_most[:, None], axis=1)[:, 0]
    columns: Ints = np.where((at_most >= 0) & (below >= 0), below, problem.allowed.argmax(axis=1))
    return columns


def _with_width(task: PlannedTask, width: int) -> PlannedTask:
    return replace(task, width=width)

"""Planning policies by name, and the plan that each makes of a task graph."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

import numpy as np

from hpcmtl.errors import InputError, Problem, nearest
from hpcmtl.layerplan.model.family import family_of
from hpcmtl.layerplan.model.speedup import Speedups
from hpcmtl.layerplan.plan import LayerPlan, PlannedTask
from hpcmtl.layerplan.problem.constraints import apply_constraints
from hpcmtl.layerplan.problem.planning_problem import make_problem
from hpcmtl.layerplan.solve.allocate import allocate
from hpcmtl.layerplan.solve.bounds import lower_bound
from hpcmtl.layerplan.solve.budget import first_plan_work
from hpcmtl.layerplan.solve.candidates import (
    FEW_TASKS,
    SEARCHED_TASKS,
    candidates,
    depth_by_depth,
    more_candidates,
    narrowest,
    widest,
)
from hpcmtl.layerplan.solve.exact import optimum
from hpcmtl.layerplan.solve.improve import improve
from hpcmtl.layerplan.solve.packing import Schedule, dispatch_order, pack, replay
from hpcmtl.layerplan.solve.prices import price_windows
from hpcmtl.layerplan.solve.slack import slack

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hpcmtl.layerplan.problem.planning_problem import PlanningProblem
    from hpcmtl.layerplan.solve.allocate import Allocations
    from hpcmtl.taskgraph.graph import TaskGraph

EXACT_TASKS = 30  # maximum number of tasks of the policy `exact`
NEAR = 5e-3  # relative gap to the bound that ends the search
NEARER = 1e-3  # the same where a local search follows
ROUNDING = 1e-9  # the same for few tasks
CANDIDATES_SHARE = 0.5  # largest part of the work that is spent before the local search
CRITICAL = 1e-9  # slack of a critical task, as a fraction of the makespan; sums of times are rounded


class Policy(Protocol):
    """A planning policy."""

    def __call__(self, problem: PlanningProblem, found: Allocations, bound: float) -> Schedule:
        """Returns a valid schedule.

        Args:
            problem: the tasks.
            found: result of `allocate` for the problem.
            bound: lower bound of the makespan in seconds.
        """
        ...


def make_plan(graph: TaskGraph, ranks: int, policy: str = "variable", *, speedups: Speedups | None = None) -> LayerPlan:
    """Plans the ranks, width and time of every task of a graph.

    Args:
        graph: the tasks, their layers and edges.
        ranks: number of ranks of the world.
        policy: a key of `POLICIES`.
        speedups: predictor of times; the default uses sizes alone and assumes one core per rank.

    Raises:
        InputError: for an unknown policy, or if a task needs more ranks than there are.
    """
    speedups = speedups or Speedups()
    problem = make_problem(graph, ranks, speedups)
    schedule, bound = plan_problem(problem, policy)
    return LayerPlan(
        policy=policy,
        ranks=ranks,
        makespan=schedule.makespan,
        lower_bound=bound,
        utilisation=utilisation(problem, schedule),
        barrier=schedule.wave is not None,
        tasks=_planned_tasks(graph, problem, schedule, _late(graph, problem, schedule, speedups)),
        machine=speedups.machine,
    )


def plan_problem(problem: PlanningProblem, policy: str = "variable") -> tuple[Schedule, float]:
    """Plans a problem in array form and returns the schedule and a lower bound of the makespan in seconds.

    Raises:
        InputError: for an unknown policy, or if a task fits nowhere.
    """
    if policy not in POLICIES:
        raise InputError([Problem("policy", f"unknown policy {policy!r}{nearest(policy, POLICIES)}")])
    problem = apply_constraints(problem)
    found, windows = allocate(problem), price_windows(problem)
    if windows is not None:
        found = found._replace(windowed=windows.columns)
    bound = lower_bound(problem, found.prices, windows)
    return POLICIES[policy](problem, found, bound), bound


def utilisation(problem: PlanningProblem, schedule: Schedule) -> float:
    """Returns busy rank-seconds over ranks times makespan, from 0 to 1."""
    seconds, widths = problem.at(schedule.columns)
    whole = problem.ranks * schedule.makespan
    return float(seconds @ widths) / whole if whole else 1.0


def _late(graph: TaskGraph, problem: PlanningProblem, schedule: Schedule, speedups: Speedups) -> Schedule:
    """Returns the schedule if all tasks take their P90 time at once: their predictions share parameters."""
    widths = problem.widths[schedule.columns, None]
    tasks = zip(graph.tasks, widths, strict=True)
    late = [speedups.predict(task, width).late[0] for task, width in tasks]
    return replay(problem, schedule, np.array(late))


def _planned_tasks(
    graph: TaskGraph, problem: PlanningProblem, schedule: Schedule, late: Schedule
) -> tuple[PlannedTask, ...]:
    seconds, widths = problem.at(schedule.columns)
    bottom = problem.levels.bottom(seconds)
    critical = slack(problem, schedule) <= CRITICAL * schedule.makespan
    order = np.argsort(dispatch_order(problem, bottom))
    wave = np.unique(schedule.start, return_inverse=True)[1] if schedule.wave is None else schedule.wave
    turns = {task: turn for turn, task in enumerate(schedule.sequence or ())}
    return tuple(
        PlannedTask(
            name=task.name,
            kind=task.kind,
            layers=task.layers,
            width=int(widths[i]),
            job_priority=task.priority,
            priority=float(bottom[i]),
            order=int(order[i]),
            wave=int(wave[i]),
            start=float(schedule.start[i]),
            end=float(schedule.end[i]),
            late_end=float(late.end[i]),
            first_rank=int(schedule.first_rank[i]),
            critical=bool(critical[i]),
            family=family_of(task),
            facts=task.facts,
            turn=turns.get(i),
        )
        for i, task in enumerate(graph.tasks)
    )


def variable(problem: PlanningProblem, found: Allocations, bound: float) -> Schedule:
    """Allocates by prices, packs and searches; the policy `fixed` differs only in the number of layers.

    The result is the best of several schedules: one with the widths as allocated, some that change widths while
    packing, and for all but large graphs the result of a local search with the work of `first_plan_work`.
    """
    tasks = len(problem.names)
    searched = tasks <= SEARCHED_TASKS
    near = ROUNDING if tasks <= FEW_TASKS else NEARER if searched else NEAR
    enough, done = bound * (1 + near), 0
    best: Schedule | None = None
    # Which of two bounds is the better goal of a packing depends on the graph; the other one comes later.
    for schedule in candidates(problem, found, lower_bound(problem, found.prices)):
        best = schedule if best is None else min(best, schedule, key=lambda made: made.makespan)
        done += schedule.work
        if best.makespan <= enough:
            return best
    assert best is not None
    if not searched:
        return best
    work = first_plan_work(best.makespan)
    for schedule in more_candidates(problem, found, bound):
        best, done = min(best, schedule, key=lambda made: made.makespan), done + schedule.work
        if best.makespan <= enough or done > CANDIDATES_SHARE * work:
            break
    return improve(problem, best, enough, work - done)


def waves(problem: PlanningProblem, found: Allocations, bound: float) -> Schedule:  # noqa: ARG001 - planned by depth
    """Plans strict layers: all tasks at one depth of the graph, then a barrier over the world.

    Raises:
        InputError: if a task must use the block of another one, which is planned at another depth.
    """
    if problem.rules.same_block is not None:
        raise InputError([Problem("policy", "waves are planned one by one, and cannot keep tasks on the same ranks")])
    return depth_by_depth(problem)


def sequential(problem: PlanningProblem, found: Allocations, bound: float) -> Schedule:  # noqa: ARG001 - needs no search
    """Plans one task after the other on the largest width of each, as a script with one launcher call per task does."""
    return pack(problem, widest(problem), alone=True)


def one_rank(problem: PlanningProblem, found: Allocations, bound: float) -> Schedule:  # noqa: ARG001 - needs no search
    """Plans every task on its smallest width."""
    return pack(problem, narrowest(problem))


def exact(problem: PlanningProblem, found: Allocations, bound: float) -> Schedule:
    """Searches the shortest schedule for some seconds with CP-SAT; needs the extra ``exact``.

    Raises:
        InputError: for more tasks than `EXACT_TASKS`.
        EnvironmentUnfitError: OR-Tools is not installed.
    """
    if len(problem.names) > EXACT_TASKS:
        count = len(problem.names)
        raise InputError([Problem("policy", f"exact is for up to {EXACT_TASKS} tasks, not {count}; use variable")])
    return optimum(problem, variable(problem, found, bound), bound).schedule


POLICIES: Mapping[str, Policy] = MappingProxyType(
    {
        "variable": variable,
        "fixed": variable,
        "waves": waves,
        "sequential": sequential,
        "one_rank": one_rank,
        "exact": exact,
    }
)
ADAPTIVE = ("variable", "fixed", "exact")  # groups are planned again while a job runs
COMPARED = tuple(policy for policy in POLICIES if policy != "exact")  # `exact` takes seconds and needs an extra

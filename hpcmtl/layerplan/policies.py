"""The planning policies by name, and the plan that each makes of a graph."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

import numpy as np

from hpcmtl.errors import InputError, Problem, nearest
from hpcmtl.layerplan.allocate import allocate, capped
from hpcmtl.layerplan.packing import Schedule, dispatch_order, pack
from hpcmtl.layerplan.plan import LayerPlan, PlannedTask
from hpcmtl.layerplan.problem import make_problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hpcmtl.layerplan.allocate import Allocations
    from hpcmtl.layerplan.problem import PlanningProblem
    from hpcmtl.taskgraph.graph import TaskGraph
    from hpcmtl.taskgraph.levels import Ints

# Widest group, as a part of all ranks. Wide tasks cannot be packed side by side, and which cap is right depends on the
# shape of the graph, so several are tried.
CAPS = (0.26, 0.34, 0.5, 1.0, 0.13, 0.2, 0.07)
PACKED_TASKS = 16_000  # how much packing the search for the best schedule may do: tasks times schedules
IMPROVED_TASKS = 300  # graphs up to this size are improved task by task


class Policy(Protocol):
    """A way to plan."""

    def __call__(self, problem: PlanningProblem, found: Allocations) -> Schedule:
        """Make a valid schedule; `found` is what `allocate` found for the problem."""
        ...


def make_plan(graph: TaskGraph, ranks: int, policy: str = "variable") -> LayerPlan:
    """Plan who runs where, how wide and when.

    Args:
        graph: the tasks, their layers and edges.
        ranks: number of ranks of the world.
        policy: a key of `POLICIES`.

    Raises:
        InputError: for an unknown policy, or if a task needs more ranks than there are.
    """
    problem = make_problem(graph, ranks)
    schedule, lower_bound = plan_problem(problem, policy)
    return LayerPlan(
        policy=policy,
        ranks=ranks,
        makespan=schedule.makespan,
        lower_bound=lower_bound,
        utilisation=utilisation(problem, schedule),
        barrier=schedule.wave is not None,
        tasks=_planned_tasks(graph, problem, schedule),
    )


def plan_problem(problem: PlanningProblem, policy: str = "variable") -> tuple[Schedule, float]:
    """Plan arrays; return the schedule, and the seconds that no schedule can be faster than.

    Raises:
        InputError: for an unknown policy.
    """
    if policy not in POLICIES:
        raise InputError([Problem("policy", f"unknown policy {policy!r}{nearest(policy, POLICIES)}")])
    found = allocate(problem)
    return POLICIES[policy](problem, found), found.lower_bound


def utilisation(problem: PlanningProblem, schedule: Schedule) -> float:
    """Busy rank-seconds over ranks times makespan, from 0 to 1."""
    seconds, widths = problem.at(schedule.columns)
    whole = problem.ranks * schedule.makespan
    return float(seconds @ widths) / whole if whole else 1.0


def _planned_tasks(graph: TaskGraph, problem: PlanningProblem, schedule: Schedule) -> tuple[PlannedTask, ...]:
    seconds, widths = problem.at(schedule.columns)
    bottom = problem.levels.bottom(seconds)
    through = problem.levels.top(seconds) + bottom
    order = np.argsort(dispatch_order(problem, seconds))
    wave = np.unique(schedule.start, return_inverse=True)[1] if schedule.wave is None else schedule.wave
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
            first_rank=int(schedule.first_rank[i]),
            critical=bool(through[i] >= bottom.max() * (1 - 1e-9)),
        )
        for i, task in enumerate(graph.tasks)
    )


def variable(problem: PlanningProblem, found: Allocations) -> Schedule:
    """Global allocation by prices, capped list scheduling, the best of several; `fixed` differs in the layers alone."""
    schedules = PACKED_TASKS // len(problem.names)
    best = _searched(problem, found, schedules)
    if len(problem.names) > IMPROVED_TASKS:
        return best
    # The widths that suit one depth at a time are another good start, without their barriers.
    other = _improved(problem, pack(problem, waves(problem, found).columns), schedules)
    return min(best, other, key=lambda schedule: schedule.makespan)


def _searched(problem: PlanningProblem, found: Allocations, schedules: int) -> Schedule:
    best = min(_candidates(problem, found, schedules), key=lambda schedule: schedule.makespan)
    return _improved(problem, best, schedules) if len(problem.names) <= IMPROVED_TASKS else best


def _candidates(problem: PlanningProblem, found: Allocations, schedules: int) -> Iterator[Schedule]:
    """Schedules of the most promising allocations and caps, and of the two plain policies, to be never worse."""
    yield pack(problem, _narrowest(problem))
    yield pack(problem, _widest(problem))  # never worse than one at a time: whenever nothing runs, the next one starts
    tried: set[bytes] = set()
    for allocation in found.columns:
        for cap in CAPS:
            columns = capped(problem, allocation, cap * problem.ranks)
            if columns.tobytes() not in tried:
                tried.add(columns.tobytes())
                yield pack(problem, columns)
            if len(tried) >= schedules:
                return


def _improved(problem: PlanningProblem, best: Schedule, schedules: int) -> Schedule:
    """Give one task after the other another width, the longest first, as long as that shortens the whole."""
    improved = True
    while improved and schedules > 0:
        improved = False
        longest = np.argsort(best.start - best.end, kind="stable")
        moves = ((task, column) for task in longest for column in np.flatnonzero(problem.useful[task]))
        for task, column in moves:
            if column == best.columns[task]:
                continue
            columns = best.columns.copy()
            columns[task] = column
            other = pack(problem, columns)
            schedules -= 1
            if other.makespan < best.makespan * (1 - 1e-9):
                best, improved = other, True
            if schedules == 0:
                break
    return best


def waves(problem: PlanningProblem, found: Allocations) -> Schedule:  # noqa: ARG001 - found for the whole, not for a depth
    """Strict layers: all tasks at one depth of the graph, then a barrier over the world; planned depth by depth."""
    depths = problem.levels.depths
    columns, first_rank = np.zeros_like(depths), np.zeros_like(depths)
    start, end = np.zeros(len(depths)), np.zeros(len(depths))
    for depth in range(int(depths.max(initial=-1)) + 1):
        members = np.flatnonzero(depths == depth)
        barrier = end.max(initial=0.0)
        at_depth = problem.part(members, barrier)
        part = _searched(at_depth, allocate(at_depth), PACKED_TASKS // len(depths))
        columns[members], first_rank[members] = part.columns, part.first_rank
        start[members], end[members] = barrier + part.start, barrier + part.end
    return Schedule(columns, start, end, first_rank, depths)


def sequential(problem: PlanningProblem, found: Allocations) -> Schedule:  # noqa: ARG001 - needs no search
    """One task after the other on all ranks that it may have: a script that calls one launcher after the other."""
    return pack(problem, _widest(problem), alone=True)


def one_rank(problem: PlanningProblem, found: Allocations) -> Schedule:  # noqa: ARG001 - needs no search
    """Every task on as few ranks as it may have."""
    return pack(problem, _narrowest(problem))


def _widest(problem: PlanningProblem) -> Ints:
    widest: Ints = problem.allowed.shape[1] - 1 - problem.allowed[:, ::-1].argmax(axis=1)
    return widest


def _narrowest(problem: PlanningProblem) -> Ints:
    narrowest: Ints = problem.allowed.argmax(axis=1)
    return narrowest


POLICIES: Mapping[str, Policy] = MappingProxyType(
    {"variable": variable, "fixed": variable, "waves": waves, "sequential": sequential, "one_rank": one_rank}
)

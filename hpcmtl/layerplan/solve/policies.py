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
from hpcmtl.layerplan.solve.allocate import RELAXED_TASKS, allocate, allocation
from hpcmtl.layerplan.solve.bounds import gap, lower_bound
from hpcmtl.layerplan.solve.exact import optimum
from hpcmtl.layerplan.solve.improve import improve
from hpcmtl.layerplan.solve.packing import Schedule, dispatch_order, pack, replay
from hpcmtl.layerplan.solve.slack import slack
from hpcmtl.layerplan.solve.time_buckets import bucketed_packing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from hpcmtl.arrays import Ints
    from hpcmtl.layerplan.problem.planning_problem import PlanningProblem
    from hpcmtl.layerplan.solve.allocate import Allocations
    from hpcmtl.taskgraph.graph import TaskGraph

# Allocations to pack, the most promising first. Each is a pair: index into `allocate.CONTENTION`, widest group as a
# fraction of all ranks. Wide tasks cannot be packed side by side, and the right cap depends on the shape of the graph.
# The order was found greedily over random graphs (of daggen, shapes of real work, independent tasks): each entry is the
# one that reduces the mean of the best makespan so far the most.
RIGID = (0, 0.5)  # packed first, with the widths as allocated; best for independent tasks
LARGE = ((0, 0.2), (1, 0.34))  # for large graphs
PACKED = ((0, 0.5), (1, 0.5), (0, 0.13), (0, 1.0), (0, 0.2))
MANY_TASKS = 5000  # above: only the first of `LARGE` is packed, in time buckets
SOME_TASKS = RELAXED_TASKS  # above: both of `LARGE` are packed
POOR = 0.1  # relative gap to the bound above which the remaining allocations are packed too
FEW_TASKS = 50  # up to this number all allocations and caps are packed, and a local search follows
EXACT_TASKS = 30  # maximum number of tasks of the policy `exact`
CAPS = (1.0, 0.5, 0.34, 0.26, 0.2, 0.13)
NEAR = 5e-3  # relative gap to the bound that ends the search
ROUNDING = 1e-9  # the same for few tasks
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
    found = allocate(problem)
    bound = lower_bound(problem, found.prices)
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
        )
        for i, task in enumerate(graph.tasks)
    )


def variable(problem: PlanningProblem, found: Allocations, bound: float) -> Schedule:
    """Allocates by prices and packs; the policy `fixed` differs only in the number of layers.

    The result is the best of several schedules: one with the widths as allocated, some that change widths while
    packing, and for small graphs the result of a local search.
    """
    few = len(problem.names) <= FEW_TASKS
    enough = bound * (1 + (ROUNDING if few else NEAR))
    best: Schedule | None = None
    for schedule in _candidates(problem, found, bound):
        if best is None or schedule.makespan < best.makespan:
            best = schedule
        if best.makespan <= enough:
            return best
    assert best is not None
    return improve(problem, best, enough) if few else best


def _candidates(problem: PlanningProblem, found: Allocations, bound: float) -> Iterator[Schedule]:
    """Yields schedules of the most promising allocations and caps; for small graphs, of all."""
    tasks = len(problem.names)
    if tasks > FEW_TASKS:
        first = LARGE[:1] if tasks > MANY_TASKS else LARGE if tasks > SOME_TASKS else PACKED[:2]
        rigid = allocation(problem, found, *RIGID)
        place = _packing_of(problem, rigid, bound)
        best = place(rigid, None)
        yield best
        for columns in found.relaxed:
            yield pack(problem, columns)
            if not len(problem.levels.edges) and tasks <= RELAXED_TASKS:
                yield pack(problem, columns, moldable_until=bound)
        for contention, cap in dict.fromkeys((*first, *PACKED)):
            if (contention, cap) not in first and gap(best.makespan, bound) <= POOR:
                return
            schedule = place(allocation(problem, found, contention, cap), bound)
            best = min(best, schedule, key=lambda made: made.makespan)
            yield schedule
        return
    # The widest widths are among the candidates so that the plan is never worse than `sequential`: whenever no task
    # runs, the next one starts at its largest width.
    allocations = [_widest(problem), _narrowest(problem), *found.relaxed]
    allocations += [allocation(problem, found, k, cap) for k in range(len(found.columns)) for cap in CAPS]
    # The widths that suit one depth at a time are another good start, without their barriers.
    allocations.append(_depth_by_depth(problem).columns)
    for columns in {columns.tobytes(): columns for columns in allocations}.values():
        yield pack(problem, columns)
        yield pack(problem, columns, moldable_until=bound)


def _packing_of(problem: PlanningProblem, columns: Ints, bound: float) -> Callable[[Ints, float | None], Schedule]:
    """Returns the packing function: in time buckets for very many tasks, if their widths and times allow it."""
    bucketed = bucketed_packing(problem, columns, bound) if len(problem.names) > MANY_TASKS else None
    return bucketed or (lambda columns, moldable_until: pack(problem, columns, moldable_until=moldable_until))


def waves(problem: PlanningProblem, found: Allocations, bound: float) -> Schedule:  # noqa: ARG001 - planned by depth
    """Plans strict layers: all tasks at one depth of the graph, then a barrier over the world.

    Raises:
        InputError: if a task must use the block of another one, which is planned at another depth.
    """
    if problem.rules.same_block is not None:
        raise InputError([Problem("policy", "waves are planned one by one, and cannot keep tasks on the same ranks")])
    return _depth_by_depth(problem)


def _depth_by_depth(problem: PlanningProblem) -> Schedule:
    depths = problem.levels.depths
    columns, first_rank = np.zeros_like(depths), np.zeros_like(depths)
    start, end = np.zeros(len(depths)), np.zeros(len(depths))
    for depth in range(int(depths.max(initial=-1)) + 1):
        members = np.flatnonzero(depths == depth)
        barrier = end.max(initial=0.0)
        at_depth = problem.part(members, barrier)
        allocations = allocate(at_depth)
        part = min(
            (
                pack(at_depth, allocation(at_depth, allocations, contention, cap), moldable_until=np.inf)
                for contention, cap in PACKED
            ),
            key=lambda schedule: schedule.makespan,
        )
        columns[members], first_rank[members] = part.columns, part.first_rank
        start[members], end[members] = barrier + part.start, barrier + part.end
    return Schedule(columns, start, end, first_rank, depths)


def sequential(problem: PlanningProblem, found: Allocations, bound: float) -> Schedule:  # noqa: ARG001 - needs no search
    """Plans one task after the other on the largest width of each, as a script with one launcher call per task does."""
    return pack(problem, _widest(problem), alone=True)


def one_rank(problem: PlanningProblem, found: Allocations, bound: float) -> Schedule:  # noqa: ARG001 - needs no search
    """Plans every task on its smallest width."""
    return pack(problem, _narrowest(problem))


def _widest(problem: PlanningProblem) -> Ints:
    widest: Ints = problem.allowed.shape[1] - 1 - problem.allowed[:, ::-1].argmax(axis=1)
    return widest


def _narrowest(problem: PlanningProblem) -> Ints:
    narrowest: Ints = problem.allowed.argmax(axis=1)
    return narrowest


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

"""The planning policies by name, and the plan that each makes of a graph."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

import numpy as np

from hpcmtl.errors import InputError, Problem, nearest
from hpcmtl.layerplan.model.speedup import Speedups, family_of
from hpcmtl.layerplan.plan import LayerPlan, PlannedTask
from hpcmtl.layerplan.problem.placement import apply_constraints
from hpcmtl.layerplan.problem.planning_problem import make_problem
from hpcmtl.layerplan.solve.allocate import RELAXED_TASKS, allocate, allocation
from hpcmtl.layerplan.solve.bounds import gap, lower_bound
from hpcmtl.layerplan.solve.exact import optimum
from hpcmtl.layerplan.solve.improve import improve
from hpcmtl.layerplan.solve.packing import Schedule, dispatch_order, pack, replay
from hpcmtl.layerplan.solve.time_buckets import bucketed_packing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from hpcmtl.arrays import Ints
    from hpcmtl.layerplan.problem.planning_problem import PlanningProblem
    from hpcmtl.layerplan.solve.allocate import Allocations
    from hpcmtl.taskgraph.graph import TaskGraph

# What is packed, the most promising first: an allocation of `allocate.CONTENTION`, and the widest group as a part of
# all ranks. Wide tasks cannot be packed side by side, and which cap is right depends on the shape of the graph. The
# order is that of a greedy choice over random graphs (of daggen, shapes of real work, independent tasks): each is the
# one
# that shortens the mean of the best so far the most, for large graphs and for others.
RIGID = (0, 0.5)  # with the widths as allocated, before all others: best where tasks do not depend on each other
LARGE = ((0, 0.2), (1, 0.34))
PACKED = ((0, 0.5), (1, 0.5), (0, 0.13), (0, 1.0), (0, 0.2))
MANY_TASKS = 5000  # with more tasks, the first of `LARGE` is packed,
SOME_TASKS = RELAXED_TASKS  # with more, both are,
POOR = 0.1  # and where the best is so far from the bound, the others
FEW_TASKS = 50  # up to so many, all widths and caps are, and a local search follows
EXACT_TASKS = 30
CAPS = (1.0, 0.5, 0.34, 0.26, 0.2, 0.13)
NEAR = 5e-3  # a plan so near to the bound is good enough; of few tasks,
ROUNDING = 1e-9  # so near


class Policy(Protocol):
    """A way to plan."""

    def __call__(self, problem: PlanningProblem, found: Allocations, bound: float) -> Schedule:
        """Make a valid schedule, from what `allocate` found for the problem; `bound` is the lower bound in seconds."""
        ...


def make_plan(graph: TaskGraph, ranks: int, policy: str = "variable", *, speedups: Speedups | None = None) -> LayerPlan:
    """Plan who runs where, how wide and when.

    Args:
        graph: the tasks, their layers and edges.
        ranks: number of ranks of the world.
        policy: a key of `POLICIES`.
        speedups: predicts times; from sizes alone by default, with a core for each rank.

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
    """Plan arrays; return the schedule, and the seconds that no schedule can be faster than.

    Raises:
        InputError: for an unknown policy.
    """
    if policy not in POLICIES:
        raise InputError([Problem("policy", f"unknown policy {policy!r}{nearest(policy, POLICIES)}")])
    problem = apply_constraints(problem)
    found = allocate(problem)
    bound = lower_bound(problem, found.prices)
    return POLICIES[policy](problem, found, bound), bound


def utilisation(problem: PlanningProblem, schedule: Schedule) -> float:
    """Busy rank-seconds over ranks times makespan, from 0 to 1."""
    seconds, widths = problem.at(schedule.columns)
    whole = problem.ranks * schedule.makespan
    return float(seconds @ widths) / whole if whole else 1.0


def _late(graph: TaskGraph, problem: PlanningProblem, schedule: Schedule, speedups: Speedups) -> Schedule:
    """What becomes of a schedule if all tasks are late together: they are predicted by the same numbers."""
    widths = problem.widths[schedule.columns, None]
    tasks = zip(graph.tasks, widths, strict=True)
    late = [speedups.predict(task, width).late[0] for task, width in tasks]
    return replay(problem, schedule, np.array(late))


def _planned_tasks(
    graph: TaskGraph, problem: PlanningProblem, schedule: Schedule, late: Schedule
) -> tuple[PlannedTask, ...]:
    seconds, widths = problem.at(schedule.columns)
    bottom = problem.levels.bottom(seconds)
    through = problem.levels.top(seconds) + bottom
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
            critical=bool(through[i] >= bottom.max() * (1 - 1e-9)),
            family=family_of(task),
        )
        for i, task in enumerate(graph.tasks)
    )


def variable(problem: PlanningProblem, found: Allocations, bound: float) -> Schedule:
    """Global allocation by prices, then packing; `fixed` differs in the layers alone.

    The best of several schedules: one with the widths as allocated, some that change widths while they pack, and for
    small graphs whatever a local search makes of them.
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
    """Schedules of the most promising allocations and caps; of small graphs, of all."""
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
    # To be never worse than the plain policies: whenever nothing runs, the next task starts as wide as it may.
    allocations = [_widest(problem), _narrowest(problem), *found.relaxed]
    allocations += [allocation(problem, found, k, cap) for k in range(len(found.columns)) for cap in CAPS]
    # The widths that suit one depth at a time are another good start, without their barriers.
    allocations.append(_depth_by_depth(problem).columns)
    for columns in {columns.tobytes(): columns for columns in allocations}.values():
        yield pack(problem, columns)
        yield pack(problem, columns, moldable_until=bound)


def _packing_of(problem: PlanningProblem, columns: Ints, bound: float) -> Callable[[Ints, float | None], Schedule]:
    """How columns are packed: of very many tasks by a coarse clock, if their widths and times allow one."""
    bucketed = bucketed_packing(problem, columns, bound) if len(problem.names) > MANY_TASKS else None
    return bucketed or (lambda columns, moldable_until: pack(problem, columns, moldable_until=moldable_until))


def waves(problem: PlanningProblem, found: Allocations, bound: float) -> Schedule:  # noqa: ARG001 - planned by depth
    """Strict layers: all tasks at one depth of the graph, then a barrier over the world.

    Raises:
        InputError: if a task has to share the block of another one, which is planned at another depth.
    """
    if problem.rules.same_place is not None:
        raise InputError([Problem("policy", "waves are planned one by one, and cannot keep tasks at the same place")])
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
    """One task after the other on all ranks that it may have: a script that calls one launcher after the other."""
    return pack(problem, _widest(problem), alone=True)


def one_rank(problem: PlanningProblem, found: Allocations, bound: float) -> Schedule:  # noqa: ARG001 - needs no search
    """Every task on as few ranks as it may have."""
    return pack(problem, _narrowest(problem))


def _widest(problem: PlanningProblem) -> Ints:
    widest: Ints = problem.allowed.shape[1] - 1 - problem.allowed[:, ::-1].argmax(axis=1)
    return widest


def _narrowest(problem: PlanningProblem) -> Ints:
    narrowest: Ints = problem.allowed.argmax(axis=1)
    return narrowest


def exact(problem: PlanningProblem, found: Allocations, bound: float) -> Schedule:
    """The shortest schedule of all, where that can be found: some seconds of CP-SAT; needs the extra ``exact``.

    Raises:
        InputError: for more tasks than can be hoped for.
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
ADAPTIVE = ("variable", "fixed", "exact")  # whose groups change while a job runs, as what happens differs from the plan
COMPARED = tuple(policy for policy in POLICIES if policy != "exact")  # which takes seconds, and an extra

"""Schedules of the most promising allocations and caps, from which the local search starts.

Wide tasks cannot be packed side by side, and the right cap depends on the shape of the graph.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hpcmtl.layerplan.solve.allocate import RELAXED_TASKS, allocate, allocation, capped
from hpcmtl.layerplan.solve.bounds import gap
from hpcmtl.layerplan.solve.packing import Schedule, pack
from hpcmtl.layerplan.solve.prices import PRICED_TASKS
from hpcmtl.layerplan.solve.time_buckets import bucketed_packing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hpcmtl.arrays import Ints
    from hpcmtl.layerplan.problem.planning_problem import PlanningProblem
    from hpcmtl.layerplan.solve.allocate import Allocations

# Allocations to pack, the most promising first. Each is a pair: index into `allocate.CONTENTION`, widest group as a
# fraction of all ranks. The order was found greedily over random graphs (of daggen, shapes of real work, independent
# tasks): each entry is the one that reduces the mean of the best makespan so far the most.
RIGID = (0, 0.5)  # packed first, with the widths as allocated; best for independent tasks
LARGE = ((0, 0.2), (1, 0.34))  # for large graphs
PACKED = ((0, 0.5), (1, 0.5), (0, 0.13), (0, 1.0), (0, 0.2))
MANY_TASKS = 5000  # above: only the first of `LARGE` is packed, in time buckets
SOME_TASKS = RELAXED_TASKS  # above: both of `LARGE` are packed
POOR = 0.1  # relative gap to the bound above which the remaining allocations are packed too
FEW_TASKS = 50  # up to this number all allocations and caps are packed, whatever the work
SEARCHED_TASKS = PRICED_TASKS  # up to this number a local search follows, and the other caps are packed before it
CAPS = (1.0, 0.5, 0.34, 0.26, 0.2, 0.13)


def candidates(problem: PlanningProblem, found: Allocations, bound: float) -> Iterator[Schedule]:
    """Yields schedules of the most promising allocations and caps; for small graphs, of all.

    Args:
        problem: the tasks.
        found: result of `allocate`.
        bound: makespan to reach, in seconds.
    """
    tasks = len(problem.names)
    if tasks > FEW_TASKS:
        yield from _most_promising(problem, found, bound)
        return
    # The widest widths are among the candidates so that the plan is never worse than `sequential`: whenever no task
    # runs, the next one starts at its largest width.
    allocations = [widest(problem), narrowest(problem), *found.relaxed]
    allocations += [allocation(problem, found, k, cap) for k in range(len(found.columns)) for cap in CAPS]
    # The widths that suit one depth at a time are another good start, without their barriers.
    allocations.append(depth_by_depth(problem).columns)
    for columns in _distinct(allocations):
        yield pack(problem, columns)
        yield pack(problem, columns, moldable_until=bound)


def more_candidates(problem: PlanningProblem, found: Allocations, bound: float) -> Iterator[Schedule]:
    """Yields schedules of the other allocations and caps, for graphs that are searched afterwards."""
    allocations = [] if found.windowed is None else [capped(problem, found.windowed, c * problem.ranks) for c in CAPS]
    allocations.append(depth_by_depth(problem).columns)
    allocations += [allocation(problem, found, k, cap) for cap in CAPS for k in range(len(found.columns))]
    allocations += found.relaxed
    for moldable_until in (bound, None):
        for columns in _distinct(allocations):
            yield pack(problem, columns, moldable_until=moldable_until)


def _distinct(allocations: list[Ints]) -> list[Ints]:
    return list({columns.tobytes(): columns for columns in allocations}.values())


def _most_promising(problem: PlanningProblem, found: Allocations, bound: float) -> Iterator[Schedule]:
    tasks = len(problem.names)
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


def _packing_of(problem: PlanningProblem, columns: Ints, bound: float) -> Callable[[Ints, float | None], Schedule]:
    """Returns the packing function: in time buckets for very many tasks, if their widths and times allow it."""
    bucketed = bucketed_packing(problem, columns, bound) if len(problem.names) > MANY_TASKS else None
    return bucketed or (lambda columns, moldable_until: pack(problem, columns, moldable_until=moldable_until))


def depth_by_depth(problem: PlanningProblem) -> Schedule:
    """Returns a schedule of strict layers: all tasks at one depth of the graph, then a barrier over all ranks."""
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


def widest(problem: PlanningProblem) -> Ints:
    """Returns the largest allowed width of each task, as (n,) columns."""
    columns: Ints = problem.allowed.shape[1] - 1 - problem.allowed[:, ::-1].argmax(axis=1)
    return columns


def narrowest(problem: PlanningProblem) -> Ints:
    """Returns the smallest allowed width of each task, as (n,) columns."""
    columns: Ints = problem.allowed.argmax(axis=1)
    return columns

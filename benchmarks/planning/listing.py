"""List scheduling as published: it counts ranks, wherever they are."""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING

import numpy as np

from hpcmtl.layerplan.report.check import Placed

if TYPE_CHECKING:
    from hpcmtl.arrays import Floats, Ints
    from hpcmtl.layerplan.problem.planning_problem import PlanningProblem


def list_schedule(problem: PlanningProblem, columns: Ints, priority: Floats | None = None) -> Placed:
    """Graham's list scheduling: whenever ranks come free, start what fits, by priority or first come first served."""
    seconds, widths = problem.at(columns)
    waiting = np.diff(problem.levels.producers.starts).tolist()
    start, free, now, arrivals = np.zeros(len(columns)), problem.ranks, 0.0, 0
    ready: list[tuple[float, int]] = []
    running: list[tuple[float, int]] = []
    new = [task for task, count in enumerate(waiting) if count == 0]
    while new or ready or running:
        for task in new:
            heappush(ready, (arrivals if priority is None else -priority[task], task))
            arrivals += 1
        passed = []
        while ready and free:
            key, task = heappop(ready)
            if widths[task] <= free:
                start[task], free = now, free - int(widths[task])
                heappush(running, (now + seconds[task], task))
            else:
                passed.append((key, task))
        for entry in passed:
            heappush(ready, entry)
        now, ended = first_ends(running)
        free += int(widths[ended].sum())
        new = set_free(problem, ended, waiting)
    return Placed(widths, start, start + seconds, None)


def first_ends(running: list[tuple[float, int]]) -> tuple[float, list[int]]:
    """Take the tasks that end first out of a heap of (end, task)."""
    now, ended = running[0][0], []
    while running and running[0][0] <= now:
        ended.append(heappop(running)[1])
    return now, ended


def set_free(problem: PlanningProblem, ended: list[int], waiting: list[int]) -> list[int]:
    """Count down what consumers wait for; return those that wait for nothing more."""
    starts, items = problem.levels.consumer_lists
    free = []
    for task in ended:
        for consumer in items[starts[task] : starts[task + 1]]:
            waiting[consumer] -= 1
            if waiting[consumer] == 0:
                free.append(consumer)
    return free


def by_bottom(problem: PlanningProblem, columns: Ints) -> Placed:
    """List scheduling by bottom levels."""
    return list_schedule(problem, columns, problem.levels.bottom(problem.at(columns)[0]))


def at_most(problem: PlanningProblem, columns: Ints, ranks: float) -> Ints:
    """Columns of the same or the widest width up to `ranks`."""
    most = int(np.searchsorted(problem.widths, max(ranks, 1), side="right")) - 1
    capped: Ints = np.minimum(columns, most)
    return capped


def monotone(problem: PlanningProblem) -> tuple[Floats, Floats]:
    """Times and areas of all widths; of those that no longer help, infinite."""
    times = np.where(problem.useful, problem.times, np.inf)
    return times, times * problem.widths

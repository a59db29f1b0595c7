"""List scheduling as published: ranks are counted, not placed."""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING

import numpy as np

from hpcmtl.layerplan.report.check import Placed

if TYPE_CHECKING:
    from hpcmtl.arrays import Floats, Ints
    from hpcmtl.layerplan.problem.planning_problem import PlanningProblem


def list_schedule(problem: PlanningProblem, columns: Ints, priority: Floats | None = None) -> Placed:
    """Schedules as Graham: whenever ranks are free, tasks that fit start, by priority or first come first served."""
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
    """Removes the tasks that end first from a heap of (end, task)."""
    now, ended = running[0][0], []
    while running and running[0][0] <= now:
        ended.append(heappop(running)[1])
    return now, ended


def set_free(problem: PlanningProblem, ended: list[int], waiting: list[int]) -> list[int]:
    """Decrements the counts of consumers; returns those that wait for no producer."""
    starts, items = problem.levels.consumer_lists
    free = []
    for task in ended:
        for consumer in items[starts[task] : starts[task + 1]]:
            waiting[consumer] -= 1
            if waiting[consumer] == 0:
                free.append(consumer)
    return free


def by_bottom(problem: PlanningProblem, columns: Ints) -> Placed:
    """Schedules by bottom levels."""
    return list_schedule(problem, columns, problem.levels.bottom(problem.at(columns)[0]))


def at_most(problem: PlanningProblem, columns: Ints, ranks: float) -> Ints:
    """Returns columns of the same width, or the widest up to `ranks`."""
    most = int(np.searchsorted(problem.widths, max(ranks, 1), side="right")) - 1
    capped: Ints = np.minimum(columns, most)
    return capped


def monotone(problem: PlanningProblem) -> tuple[Floats, Floats]:
    """Returns times and areas of all widths; inf for widths that are not useful."""
    times = np.where(problem.useful, problem.times, np.inf)
    return times, times * problem.widths

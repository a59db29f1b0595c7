"""The slack of each task in a schedule: how much later it may end without a later end of the plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from hpcmtl.arrays import Floats
    from hpcmtl.layerplan.problem.planning_problem import PlanningProblem
    from hpcmtl.layerplan.solve.packing import Schedule


def slack(problem: PlanningProblem, schedule: Schedule) -> Floats:
    """Returns (n,) the seconds by which each task may be delayed alone, as `packing.replay` would delay the others.

    A task waits for its producers, for the tasks before it on its ranks, and for its barrier: ranks may be the
    bottleneck where dependencies are not (total float of resource-constrained scheduling).
    """
    widths, duration = problem.widths[schedule.columns], schedule.end - schedule.start
    starts, items = problem.levels.consumer_lists
    latest = np.full(len(duration), schedule.makespan)  # latest end of each task
    free = np.full(problem.ranks, schedule.makespan)  # latest end of what comes before on each rank
    wave = np.zeros(len(duration), dtype=np.int64) if schedule.wave is None else schedule.wave
    last, barrier, next_barrier = int(wave.max(initial=0)), schedule.makespan, schedule.makespan
    for task in np.lexsort((problem.levels.depths, schedule.start, wave))[::-1].tolist():
        if wave[task] < last:
            last, barrier = int(wave[task]), next_barrier
        ranks = slice(schedule.first_rank[task], schedule.first_rank[task] + widths[task])
        after = latest[consumers := items[starts[task] : starts[task + 1]]] - duration[consumers]
        latest[task] = min(barrier, free[ranks].min(), after.min(initial=np.inf))
        free[ranks] = latest[task] - duration[task]
        next_barrier = min(next_barrier, free[ranks][0])
    found: Floats = latest - schedule.end
    return found

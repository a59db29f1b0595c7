"""Published planners, as far as their papers describe them, on ranks that need not be contiguous.

Each returns widths, starts and ends. Counting ranks only is an advantage over `hpcmtl.layerplan`, whose blocks are
contiguous. The source is given with each; "as described by" means that the original was not available.
"""

from __future__ import annotations

from heapq import heappop, heappush
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from hpcmtl.layerplan.report.check import Placed
from planning.layered import layers_of_groups, spindle_waves
from planning.linear_program import lp_allocation
from planning.listing import at_most, by_bottom, first_ends, list_schedule, monotone, set_free

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hpcmtl.arrays import Ints
    from hpcmtl.layerplan.problem.planning_problem import PlanningProblem

LTW_MU = 0.382  # cap of Lepere, Trystram, Woeginger 2001 and Jansen, Zhang 2006
LP_TASKS = 500  # the linear program takes half a minute with 2,500


def min_time(problem: PlanningProblem) -> Placed:
    """Plans every task at its fastest width, first come first served."""
    return list_schedule(problem, problem.times.argmin(axis=1))


def min_area(problem: PlanningProblem) -> Placed:
    """Plans every task at its smallest area."""
    return by_bottom(problem, problem.areas.argmin(axis=1))


def fair(problem: PlanningProblem) -> Placed:
    """Plans by Fair (Perotin et al. 2025): the least max(time ratio, area ratio), capped, first come first served."""
    times, areas = monotone(problem)
    ratio = np.maximum(times / times.min(axis=1, keepdims=True), areas / areas.min(axis=1, keepdims=True))
    columns = ratio.argmin(axis=1)
    worst = float(ratio.min(axis=1).max())
    cap = (2 * worst + 1 - np.sqrt(4 * worst**2 + 1)) / (2 * worst)
    return list_schedule(problem, at_most(problem, columns, np.ceil(cap * problem.ranks)))


# Bound on the area ratio, and cap, of each speedup model; for powercom as in the published code.
_TOPC = MappingProxyType(
    {
        "roofline": (1.0, (3 - 5**0.5) / 2),
        "communication": (4 / 3, (23 - 313**0.5) / 18),
        "amdahl": ((2**0.5 + 1 + (2 * 2**0.5 - 1) ** 0.5) / 2, (1 - (8 * 2**0.5 - 11) ** 0.5) / 2),
        "general": (2.0, (33 - 738**0.5) / 27),
        "powercom": (1.45, 1 / 3.44),
    }
)


def topc24(model: str) -> Callable[[PlanningProblem], Placed]:
    """Plans by Benoit et al. (TOPC 2024): fastest width of bounded area ratio, capped, first come first served."""
    most, cap = _TOPC[model]

    def planned(problem: PlanningProblem) -> Placed:
        times, areas = monotone(problem)
        columns = np.where(areas / areas[:, :1] <= most * (1 + 1e-12), times, np.inf).argmin(axis=1)
        return list_schedule(problem, at_most(problem, columns, np.ceil(cap * problem.ranks)))

    return planned


def _cpa_allocations(problem: PlanningProblem, ranks: Ints, *, by_level: bool) -> list[Ints]:
    """Returns CPA's widths for clusters of increasing size, in one run.

    The critical task with the largest gain is widened. Radulescu, van Gemund (ICPP 2001). Widths grow by the steps of
    `problem.choices`, not rank by rank. With `by_level` they grow only while the widths of a precedence level fit the
    cluster (MCPA: Bansal, Kumar, Singh 2006).
    """
    choices, levels = problem.choices, problem.levels
    # Tasks with no narrow choice begin at their first one.
    choice = (choices.columns >= 0).argmax(axis=1)
    tasks = np.arange(len(choice))
    seconds, widths = choices.times[tasks, choice], choices.widths[tasks, choice].copy()
    blocked = np.zeros(len(tasks), dtype=bool)
    used = np.bincount(levels.depths, widths)
    found = []
    bottom, top = levels.bottom(seconds), levels.top(seconds)
    for size in ranks.tolist():
        blocked[:] = False
        while (path := float(bottom.max())) > float(seconds @ widths) / size:
            critical = np.flatnonzero((top + bottom >= path * (1 - 1e-9)) & ~blocked)
            wider = np.minimum(choice[critical] + 1, choices.columns.shape[1] - 1)
            while (same := choices.widths[critical, wider] == widths[critical]).any() and (
                more := same & (wider < choices.columns.shape[1] - 1)
            ).any():
                wider = np.where(more, wider + 1, wider)
            new_widths, new_seconds = choices.widths[critical, wider], choices.times[critical, wider]
            possible = (new_widths > widths[critical]) & (new_widths <= size)
            if by_level:
                possible &= used[levels.depths[critical]] - widths[critical] + new_widths <= size
            gain = seconds[critical] / widths[critical] - new_seconds / np.maximum(new_widths, 1)
            gain = np.where(possible, gain, -np.inf)
            best = int(gain.argmax()) if len(gain) else -1
            if best < 0 or not np.isfinite(gain[best]):
                break
            task = critical[best]
            used[levels.depths[task]] += new_widths[best] - widths[task]
            choice[task], widths[task], seconds[task] = wider[best], new_widths[best], new_seconds[best]
            bottom, top = levels.bottom(seconds), levels.top(seconds)
        found.append(choices.columns[tasks, choice])
    return found


def cpa(problem: PlanningProblem) -> Placed:
    """Plans by CPA (Radulescu, van Gemund, ICPP 2001)."""
    return by_bottom(problem, _cpa_allocations(problem, np.array([problem.ranks]), by_level=False)[0])


def mcpa(problem: PlanningProblem) -> Placed:
    """Plans by MCPA (Bansal, Kumar, Singh, Parallel Computing 32, 2006)."""
    return by_bottom(problem, _cpa_allocations(problem, np.array([problem.ranks]), by_level=True)[0])


def mcpa2(problem: PlanningProblem) -> Placed:
    """Plans by MCPA2 (Hunold, CCGrid 2010), as described by its abstract: the better of CPA and MCPA."""
    return min((cpa(problem), mcpa(problem)), key=lambda placed: placed.end.max())


def bicpa(problem: PlanningProblem) -> Placed:
    """Plans by biCPA (Casanova, Desprez, Suter, CCGrid 2010): the shortest CPA over all assumed cluster sizes."""
    sizes = problem.choices.widths.max(axis=0)
    sizes = np.unique(np.append(sizes[sizes > 0], problem.ranks))
    allocations = _cpa_allocations(problem, sizes, by_level=False)
    return min((by_bottom(problem, columns) for columns in allocations), key=lambda placed: placed.end.max())


def m_heft(problem: PlanningProblem) -> Placed:
    """Plans by M-HEFT (Casanova, Desprez, Suter, Euro-Par 2004): by bottom level, the width that ends a task first."""
    times = np.where(problem.useful, problem.times, np.inf)
    order = np.lexsort((problem.name_order, -problem.levels.bottom(problem.times[:, 0])))
    depth_first = order[np.argsort(problem.levels.depths[order], kind="stable")]
    free = np.zeros(problem.ranks)  # sorted times from which each rank is free
    start, end, width = np.zeros(len(order)), np.zeros(len(order)), np.zeros(len(order), dtype=np.int64)
    producers = problem.levels.producers
    for task in depth_first:
        ready = end[producers.items[producers.starts[task] : producers.starts[task + 1]]].max(initial=0.0)
        begins = np.maximum(free[problem.widths - 1], ready)
        column = int((begins + times[task]).argmin())
        start[task], width[task] = begins[column], problem.widths[column]
        end[task] = start[task] + times[task, column]
        free[: width[task]] = end[task]
        free.sort()
    return Placed(width, start, end, None)


def lepere(problem: PlanningProblem) -> Placed:
    """Plans by Lepere, Trystram, Woeginger (2001): linear program, rounding, cap, list scheduling."""
    columns, _ = lp_allocation(problem)
    return by_bottom(problem, at_most(problem, columns, np.ceil(LTW_MU * problem.ranks)))


def optimus(problem: PlanningProblem) -> Placed:
    """Plans by marginal gain (Optimus, EuroSys 2018): free ranks go to the ready tasks with the largest gain."""
    choices = problem.choices
    waiting = np.diff(problem.levels.producers.starts).tolist()
    n = len(problem.names)
    start, end, width = np.zeros(n), np.zeros(n), np.zeros(n, dtype=np.int64)
    ready = [task for task, count in enumerate(waiting) if count == 0]
    running: list[tuple[float, int]] = []
    free, now = problem.ranks, 0.0
    while ready or running:
        ready.sort(key=lambda task: (-problem.times[task].min(), task))
        chosen = _shared_out(problem, ready, free)
        ready = [task for task in ready if task not in chosen]
        for task, choice in chosen.items():
            start[task], width[task] = now, choices.widths[task, choice]
            end[task] = now + choices.times[task, choice]
            free -= int(width[task])
            heappush(running, (end[task], task))
        now, ended = first_ends(running)
        free += int(width[ended].sum())
        ready += set_free(problem, ended, waiting)
    return Placed(width, start, end, None)


def _shared_out(problem: PlanningProblem, ready: list[int], free: int) -> dict[int, int]:
    """Returns choices for the tasks that can start: the fewest ranks for each, then more, step by step."""
    choices = problem.choices
    chosen: dict[int, int] = {}
    for task in ready:
        first = int((choices.columns[task] >= 0).argmax())
        if choices.widths[task, first] <= free:
            chosen[task] = first
            free -= int(choices.widths[task, first])
    gains = [(-_gain(problem, task, choice), task) for task, choice in chosen.items()]
    gains.sort()
    while gains and gains[0][0] < 0:
        _, task = heappop(gains)
        choice = chosen[task]
        more = int(choices.widths[task, choice + 1] - choices.widths[task, choice])
        if more <= free:
            chosen[task], free = choice + 1, free - more
            heappush(gains, (-_gain(problem, task, choice + 1), task))
    return chosen


def _gain(problem: PlanningProblem, task: int, choice: int) -> float:
    """Returns the seconds saved per additional rank by the next choice; 0 at the last useful one."""
    choices = problem.choices
    if choice + 1 >= choices.columns.shape[1]:
        return 0.0
    more = choices.widths[task, choice + 1] - choices.widths[task, choice]
    return float((choices.times[task, choice] - choices.times[task, choice + 1]) / more) if more > 0 else 0.0


BASELINES: Mapping[str, Callable[[PlanningProblem], Placed]] = MappingProxyType(
    {
        "fair": fair,
        "cpa": cpa,
        "mcpa": mcpa,
        "mcpa2": mcpa2,
        "bicpa": bicpa,
        "m_heft": m_heft,
        "ltw_lp": lepere,
        "layers": layers_of_groups,
        "spindle": spindle_waves,
        "optimus": optimus,
        "min_time": min_time,
        "min_area": min_area,
    }
)

"""A new plan for what has not started, from what is known by now."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from hpcmtl.layerplan.problem.placement import apply_constraints
from hpcmtl.layerplan.solve.allocate import FEWEST_ROUNDS, allocate, allocation
from hpcmtl.layerplan.solve.bounds import lower_bound
from hpcmtl.layerplan.solve.packing import pack, turns_by_start
from hpcmtl.layerplan.solve.policies import LARGE, PACKED

if TYPE_CHECKING:
    from hpcmtl.arrays import Ints
    from hpcmtl.layerplan.problem.planning_problem import PlanningProblem, Rules
    from hpcmtl.layerplan.solve.packing import FixedPart, Schedule


def replan(problem: PlanningProblem, old: Schedule, fixed: FixedPart) -> Schedule:
    """Plan what has not started, on the ranks that are left.

    By its own prediction the result is never worse than to keep the old widths in the old order.

    Args:
        problem: the tasks with the times as they are known now; ranks that are gone are `rules.lost`, and
            who should share a block that has some of them may go elsewhere.
        old: the plan so far.
        fixed: what has started, with the ends that are expected now.

    Returns:
        A schedule of all tasks, those of the past as they were.

    Raises:
        InputError: if a task that has not started fits nowhere any more.
    """
    waiting = np.flatnonzero(~fixed.started)
    if not len(waiting):
        return fixed.schedule
    problem = _without_the_past(problem, fixed)
    kept = _kept(problem, old, fixed)
    rest = problem.part(waiting, fixed.now, _release(problem, fixed)[waiting])
    found = allocate(rest)
    bound = fixed.now + lower_bound(rest, found.prices)
    columns = old.columns.copy()
    schedules = [kept]
    for contention, cap in (*LARGE, PACKED[0]):
        columns[waiting] = allocation(rest, found, contention, cap)
        schedules.append(pack(problem, columns, moldable_until=bound, fixed=fixed))
    return min(schedules, key=lambda schedule: schedule.makespan)


def new_widths(problem: PlanningProblem, columns: Ints, fixed: FixedPart) -> Ints:
    """The widths (n,), as columns of the table, with which tasks that all wait are predicted to end first.

    Args:
        problem: what is left of the tasks.
        columns: (n,) the widths so far; they are kept if no others are better.
        fixed: the ranks that are busy.
    """
    found = allocate(problem, FEWEST_ROUNDS)  # ranks wait for it; more were measured to find nothing better
    bound = lower_bound(problem, found.prices)
    candidates = [allocation(problem, found, *choice) for choice in dict.fromkeys((*LARGE, *PACKED[:2]))]
    schedules = [pack(problem, columns, fixed=fixed)]
    schedules += [pack(problem, choice, moldable_until=bound, fixed=fixed) for choice in (columns, *candidates)]
    return min(schedules, key=lambda schedule: schedule.makespan).columns


def keep(problem: PlanningProblem, old: Schedule, fixed: FixedPart) -> Schedule:
    """What becomes of the old plan: its widths in its order; a width that fits nowhere any more is narrowed."""
    return _kept(_without_the_past(problem, fixed), old, fixed)


def _kept(problem: PlanningProblem, old: Schedule, fixed: FixedPart) -> Schedule:
    columns = np.where(fixed.started, old.columns, _possible(problem, old.columns))
    return pack(problem, columns, turn=turns_by_start(problem, old.start), fixed=fixed)


def _possible(problem: PlanningProblem, columns: Ints) -> Ints:
    """The widths of an allocation, and where one is no longer allowed the next smaller, or the smallest."""
    allowed = np.where(problem.allowed, np.arange(len(problem.widths)), -1)
    below = np.take_along_axis(np.maximum.accumulate(allowed, axis=1), columns[:, None], axis=1)[:, 0]
    possible: Ints = np.where(below >= 0, below, problem.allowed.argmax(axis=1))
    return possible


def _release(problem: PlanningProblem, fixed: FixedPart) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """(n,) seconds before which tasks cannot start for what runs now."""
    release = np.maximum(problem.release, fixed.now)
    edges = problem.levels.edges.reshape(-1, 2)
    edges = edges[fixed.started[edges[:, 0]]]
    np.maximum.at(release, edges[:, 1], fixed.schedule.end[edges[:, 0]])
    return release


def _without_the_past(problem: PlanningProblem, fixed: FixedPart) -> PlanningProblem:
    """Apply the rules to what is to be planned alone: what has run on ranks that are lost now needs no place."""
    if not problem.rules.any:
        return problem
    return apply_constraints(replace(problem, rules=_rules_left(problem, fixed)), np.flatnonzero(~fixed.started))


def _rules_left(problem: PlanningProblem, fixed: FixedPart) -> Rules:
    """The rules without the blocks that nobody can share any more: data that was there is lost with them."""
    rules, old = problem.rules, fixed.schedule
    if rules.same_place is None or rules.lost is None:
        return rules
    leaders = rules.same_place.copy()
    for task in np.flatnonzero(leaders >= 0).tolist():
        leader = leaders[task]
        ranks = slice(old.first_rank[leader], old.first_rank[leader] + problem.widths[old.columns[leader]])
        if fixed.started[leader] and rules.lost[ranks].any():
            leaders[task] = -1
    return replace(rules, same_place=leaders)

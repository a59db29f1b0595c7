"""New widths for waiting tasks, from the times that are known by now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcmtl.layerplan.solve.allocate import FEWEST_ROUNDS, allocate, allocation
from hpcmtl.layerplan.solve.bounds import lower_bound
from hpcmtl.layerplan.solve.packing import pack
from hpcmtl.layerplan.solve.policies import LARGE, PACKED

if TYPE_CHECKING:
    from hpcmtl.arrays import Ints
    from hpcmtl.layerplan.problem.planning_problem import PlanningProblem
    from hpcmtl.layerplan.solve.packing import FixedPart


def new_widths(problem: PlanningProblem, columns: Ints, fixed: FixedPart) -> Ints:
    """Returns the widths (n,), as columns of the table, with the earliest predicted end of all waiting tasks.

    Args:
        problem: the tasks, or remaining parts of tasks, that have not started.
        columns: (n,) current widths; they are kept unless others are better.
        fixed: the ranks that are busy.
    """
    found = allocate(
        problem, FEWEST_ROUNDS
    )  # ranks wait for the result; more rounds were measured to find no better one
    bound = lower_bound(problem, found.prices)
    candidates = [allocation(problem, found, *choice) for choice in dict.fromkeys((*LARGE, *PACKED[:2]))]
    schedules = [pack(problem, columns, fixed=fixed)]
    schedules += [pack(problem, choice, moldable_until=bound, fixed=fixed) for choice in (columns, *candidates)]
    return min(schedules, key=lambda schedule: schedule.makespan).columns

"""Local search over widths and turns, for graphs so small that a schedule costs very little."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hpcmtl.layerplan.solve.packing import dispatch_order, pack

if TYPE_CHECKING:
    from hpcmtl.layerplan.problem.planning_problem import PlanningProblem
    from hpcmtl.layerplan.solve.packing import Schedule

SEED = 0  # fixed: the same problem always gives the same plan
SCHEDULES = 150_000  # schedules to try, times the square of the number of tasks: about constant time
MOST_SCHEDULES = 300
WIDTH_MOVES = 0.6  # fraction of the moves that change a width; the others change a turn
TURN_STEP = 0.3  # standard deviation of the logarithm of a factor on a task's bottom level


def improve(problem: PlanningProblem, best: Schedule, enough: float) -> Schedule:
    """Changes the width or the turn of one task at a time and keeps a change that is not worse.

    Args:
        problem: the tasks.
        best: start of the search.
        enough: makespan in seconds at which the search ends.
    """
    random = np.random.default_rng(SEED)
    by_name = np.argsort(problem.name_order)
    useful = [np.flatnonzero(row) for row in problem.useful]
    columns, factor = best.columns, np.ones(len(best.columns))
    kept = min(
        (pack(problem, columns, moldable_until=moldable_until) for moldable_until in (None, np.inf)),
        key=lambda made: made.makespan,
    )
    for _ in range(min(SCHEDULES // len(columns) ** 2, MOST_SCHEDULES)):
        if best.makespan <= enough:
            break
        task = by_name[random.integers(len(by_name))]
        others, factors = columns.copy(), factor.copy()
        if random.random() < WIDTH_MOVES:
            others[task] = random.choice(useful[task])
        else:
            factors[task] *= np.exp(TURN_STEP * random.standard_normal())
        urgency = problem.levels.bottom(problem.at(others)[0]) * factors
        turn = np.argsort(dispatch_order(problem, urgency))
        made = pack(problem, others, moldable_until=np.inf if random.random() < 1 / 2 else None, turn=turn)
        if made.makespan <= kept.makespan:
            kept, columns, factor = made, made.columns, factors
        if made.makespan < best.makespan:
            best = made
    return best

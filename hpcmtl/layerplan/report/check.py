"""Independent check of plans: reports every violation, for a plan from any planner.

It shares no code with the planner except the problem itself, so that it cannot repeat a mistake of the planner.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hpcmtl.arrays import Floats, Ints
    from hpcmtl.layerplan.plan import LayerPlan
    from hpcmtl.layerplan.problem.planning_problem import PlanningProblem
    from hpcmtl.layerplan.solve.packing import Schedule

TOLERANCE = 1e-9  # fraction of the makespan; covers sums of seconds in another order


class Placed(NamedTuple):
    """Holds time and ranks of n tasks.

    Attributes:
        width: (n,) number of ranks.
        start: (n,) seconds.
        end: (n,) seconds.
        first_rank: (n,) first rank of each block; None to check only the number of busy ranks.
    """

    width: Ints
    start: Floats
    end: Floats
    first_rank: Ints | None

    @property
    def slack(self) -> float:
        """Tolerance for rounding, in seconds."""
        return TOLERANCE * max(float(self.end.max(initial=0.0)), 1e-300)


def violations(problem: PlanningProblem, plan: LayerPlan) -> list[str]:
    """Returns all violations of the problem's constraints by a plan; empty for a valid plan."""
    if tuple(task.name for task in plan.tasks) != problem.names:
        return ["the plan's tasks are not those of the problem, in its order"]
    tasks = [(task.width, task.start, task.end, task.first_rank) for task in plan.tasks]
    width, start, end, first_rank = np.array(tasks, dtype=np.float64).reshape(-1, 4).T
    placed = Placed(width.astype(np.int64), start, end, first_rank.astype(np.int64))
    return [*placed_violations(problem, placed), *_barriers(plan, placed.slack), *_totals(plan, placed.slack)]


def schedule_violations(problem: PlanningProblem, schedule: Schedule) -> list[str]:
    """Returns all violations of the problem's constraints by a schedule; empty for a valid one."""
    widths = problem.widths[schedule.columns]
    return placed_violations(problem, Placed(widths, schedule.start, schedule.end, schedule.first_rank))


def placed_violations(problem: PlanningProblem, placed: Placed) -> list[str]:
    """Returns all violations of the problem's constraints by given times and blocks."""
    found = [*_widths(problem, placed), *_precedence(problem, placed)]
    if placed.first_rank is None:
        return found + list(_count(problem, placed))
    return [*found, *_ranks(problem, placed), *_rules(problem, placed, placed.first_rank)]


def _widths(problem: PlanningProblem, placed: Placed) -> Iterator[str]:
    column, slack = {int(width): k for k, width in enumerate(problem.widths)}, placed.slack
    for i, name in enumerate(problem.names):
        width, took = int(placed.width[i]), placed.end[i] - placed.start[i]
        seconds = problem.times[i, column[width]] if width in column else np.inf
        if not np.isfinite(seconds):
            yield f"{name}: {width} ranks are not allowed"
            continue
        if problem.rules.rank_speed is not None and placed.first_rank is not None:
            first = int(placed.first_rank[i])
            seconds /= problem.rules.rank_speed[first : first + width].min(initial=problem.top_speed)
        if abs(took - seconds) > slack:
            yield f"{name}: takes {seconds} s on {width} ranks, not {took} s"
    early = np.flatnonzero(placed.start < problem.release - slack)
    for i in early.tolist():
        yield f"{problem.names[i]}: starts at {placed.start[i]} s, before its release at {problem.release[i]} s"


def _precedence(problem: PlanningProblem, placed: Placed) -> Iterator[str]:
    edges = problem.levels.edges.reshape(-1, 2)
    wrong = placed.start[edges[:, 1]] < placed.end[edges[:, 0]] - placed.slack
    for before, after in edges[wrong].tolist():
        yield (
            f"{problem.names[after]}: starts at {placed.start[after]} s, "
            f"before {problem.names[before]} ends at {placed.end[before]} s"
        )


def _count(problem: PlanningProblem, placed: Placed) -> Iterator[str]:
    """Checks the number of busy ranks over time; ends come before starts of the same moment."""
    moments = np.concatenate([placed.end - placed.slack, placed.start])
    change = np.concatenate([-placed.width, placed.width])
    order = np.lexsort((change, moments))
    busy = np.cumsum(change[order])
    for k in np.flatnonzero(busy > problem.ranks)[:1].tolist():
        yield f"{busy[k]} of {problem.ranks} ranks are busy at {moments[order[k]]} s"


def _ranks(problem: PlanningProblem, placed: Placed) -> Iterator[str]:
    """Visits the tasks by start and tracks the holder of every rank and the end of its use."""
    assert placed.first_rank is not None
    until, slack = np.zeros(problem.ranks), placed.slack
    holder = np.full(problem.ranks, -1)
    for i in np.lexsort((placed.end, placed.start)).tolist():
        name, width, first = problem.names[i], int(placed.width[i]), int(placed.first_rank[i])
        if first < 0 or first + width > problem.ranks or width < 1:
            yield f"{name}: ranks {first} to {first + width - 1} are not among 0 to {problem.ranks - 1}"
            continue
        block = _held(problem, i, first, width)
        for other in np.unique(holder[block][until[block] > placed.start[i] + slack]).tolist():
            yield f"{name}: starts at {placed.start[i]} s on ranks that {_claim(problem, placed, other)}"
        until[block], holder[block] = np.maximum(until[block], placed.end[i]), i


def _held(problem: PlanningProblem, task: int, first: int, width: int) -> slice:
    """Returns the ranks reserved for a task: of an exclusive task, all of its nodes."""
    node = problem.rules.node
    if problem.rules.exclusive is None or not problem.rules.exclusive[task]:
        return slice(first, first + width)
    if not 0 < node < problem.ranks:
        return slice(0, problem.ranks)
    return slice(first // node * node, min(-(-(first + width) // node) * node, problem.ranks))


def _claim(problem: PlanningProblem, placed: Placed, task: int) -> str:
    assert placed.first_rank is not None
    first = placed.first_rank[task]
    return f"{problem.names[task]} holds ({first} to {first + placed.width[task] - 1} until {placed.end[task]} s)"


def _rules(problem: PlanningProblem, placed: Placed, first_rank: Ints) -> Iterator[str]:
    rules = problem.rules
    for i, name in enumerate(problem.names):
        first, width = int(first_rank[i]), int(placed.width[i])
        if 0 < rules.node < problem.ranks and first % rules.node and first % rules.node + width > rules.node:
            yield f"{name}: ranks {first} to {first + width - 1} straddle nodes of {rules.node}"
        if rules.memory is not None and rules.rank_memory is not None:
            least = rules.rank_memory[first : first + width].min(initial=np.inf)
            if least < rules.memory[i]:
                yield f"{name}: needs {rules.memory[i]} bytes a rank, and has a rank with {least}"
        if rules.gpu_memory is not None and rules.rank_gpu_memory is not None:
            least = rules.rank_gpu_memory[first : first + width].min(initial=np.inf)
            if least < rules.gpu_memory[i]:
                yield f"{name}: needs {rules.gpu_memory[i]} bytes of a GPU a rank, and has a rank with {least}"
        if rules.pinned is not None and rules.pinned[i] >= 0 and first != rules.pinned[i]:
            yield f"{name}: begins at rank {first}, not {rules.pinned[i]}"
        leader = -1 if rules.same_block is None else int(rules.same_block[i])
        if leader >= 0 and (first, width) != (int(first_rank[leader]), int(placed.width[leader])):
            yield f"{name}: is not on the ranks of {problem.names[leader]}"


def _barriers(plan: LayerPlan, slack: float) -> Iterator[str]:
    ended = 0.0
    for wave in plan.waves() if plan.barrier else ():
        for task in wave:
            if task.start < ended - slack:
                yield f"{task.name}: wave {task.wave} starts at {task.start} s, before the barrier at {ended} s"
        ended = max(ended, *(task.end for task in wave))


def _totals(plan: LayerPlan, slack: float) -> Iterator[str]:
    end = max((task.end for task in plan.tasks), default=0.0)
    if abs(plan.makespan - end) > slack:
        yield f"the makespan is {end} s, not {plan.makespan} s"
    if plan.lower_bound > end + slack:
        yield f"the lower bound of {plan.lower_bound} s is above the makespan of {end} s"

"""The shortest schedule of a small graph, by constraint programming (Google's CP-SAT; the extra ``exact``).

Blocks are rectangles of ranks and time that must not overlap. The length and width of a block depend on one choice
among the widths of its task. Busy ranks as a cumulative resource, the least area and the lower bound are cuts. The
known plan gives the horizon and hints.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hpcmtl.errors import EnvironmentUnfitError, InputError, Problem
from hpcmtl.layerplan.solve.packing import Schedule, replay
from hpcmtl.loading import import_with_own_symbols

if TYPE_CHECKING:
    from hpcmtl.layerplan.problem.planning_problem import PlanningProblem

_SOLVER = "ortools.sat.python.cp_model"
TICKS = 100_000  # integer time units in the makespan of the known plan
SEED = 0


class Optimum(NamedTuple):
    """Holds the result of the solver.

    Attributes:
        schedule: the best schedule; never longer than the known one.
        lower_bound: lower bound of the makespan in seconds.
        proved: True if the solver proved optimality, except for the rounding of times to ticks.
    """

    schedule: Schedule
    lower_bound: float
    proved: bool


@dataclass(frozen=True, kw_only=True)
class _TaskVariables:
    """Holds the variables of one task; `chosen` has one for each column of the table that is allowed."""

    start: Any
    end: Any
    first: Any
    width: Any
    area: Any
    time: Any
    place: Any
    chosen: dict[int, Any]


def load_solver() -> Any:
    """Imports the CP-SAT module of OR-Tools and returns it.

    Raises:
        EnvironmentUnfitError: OR-Tools is not installed.
    """
    try:
        return import_with_own_symbols(_SOLVER)  # by name, because it is optional
    except ImportError as error:
        raise EnvironmentUnfitError("the policy exact needs OR-Tools: pip install 'hpcmtl[exact]'") from error


def optimum(problem: PlanningProblem, known: Schedule, bound: float, seconds: float = 10.0) -> Optimum:
    """Searches the shortest schedule.

    Args:
        problem: the tasks; optimality can be proved for about 20.
        known: a valid schedule.
        bound: a lower bound of the makespan in seconds.
        seconds: limit of the solver's deterministic time, about equal to wall time; the wall time is limited to three
            times this.

    Raises:
        EnvironmentUnfitError: OR-Tools is not installed.
        InputError: the problem has rules of nodes, memory or speeds, which the model does not support.
    """
    if problem.rules.any:
        raise InputError([Problem("policy", "exact supports no rules of nodes, memory or speeds; use variable")])
    cp_model = load_solver()
    tick = known.makespan / TICKS
    if tick == 0:
        return Optimum(known, 0.0, proved=True)
    model, blocks = _model(cp_model, problem, known, bound)
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1  # with more workers the result is not deterministic
    solver.parameters.random_seed = SEED
    solver.parameters.max_deterministic_time = seconds
    solver.parameters.max_time_in_seconds = 3 * seconds  # presolve does not count as deterministic time
    status = solver.solve(model)
    proved = (solver.best_objective_bound - len(blocks)) * tick
    if status not in {cp_model.OPTIMAL, cp_model.FEASIBLE}:
        return Optimum(known, max(bound, proved), proved=False)
    found = _schedule(problem, solver, blocks)
    best = min((known, found), key=lambda schedule: schedule.makespan)
    return Optimum(best, min(max(bound, proved), best.makespan), proved=status == cp_model.OPTIMAL)


def _model(cp_model: Any, problem: PlanningProblem, known: Schedule, bound: float) -> tuple[Any, list[_TaskVariables]]:
    tick = known.makespan / TICKS
    model = cp_model.CpModel()
    horizon = TICKS + len(problem.names)  # every task of a chain may be rounded up by one tick
    blocks = [_task_variables(model, problem, task, tick, horizon) for task in range(len(problem.names))]
    for producer, consumer in problem.levels.edges.reshape(-1, 2).tolist():
        model.add(blocks[consumer].start >= blocks[producer].end)
    model.add_no_overlap_2d([block.time for block in blocks], [block.place for block in blocks])
    model.add_cumulative([block.time for block in blocks], [block.width for block in blocks], problem.ranks)
    makespan = model.new_int_var(min(int(bound / tick), TICKS), horizon, "makespan")
    model.add_max_equality(makespan, [block.end for block in blocks])
    model.add(sum(block.area for block in blocks) <= problem.ranks * makespan)
    model.minimize(makespan)
    for task, block in enumerate(blocks):
        model.add_hint(block.first, int(known.first_rank[task]))
        for column, chosen in block.chosen.items():
            model.add_hint(chosen, bool(column == known.columns[task]))
    return model, blocks


def _task_variables(model: Any, problem: PlanningProblem, task: int, tick: float, horizon: int) -> _TaskVariables:
    # A width that takes longer than the whole known plan is in no shorter plan.
    columns = np.flatnonzero(problem.useful[task] & (problem.times[task] <= tick * horizon)).tolist()
    lengths = {column: int(np.ceil(problem.times[task, column] / tick)) for column in columns}
    widths = {column: int(problem.widths[column]) for column in columns}
    areas = {column: lengths[column] * widths[column] for column in columns}
    chosen = {column: model.new_bool_var(f"{task} has column {column}") for column in columns}
    model.add_exactly_one(chosen.values())
    start = model.new_int_var(int(np.ceil(problem.release[task] / tick)), horizon, f"start of {task}")
    end = model.new_int_var(0, horizon, f"end of {task}")
    first = model.new_int_var(0, problem.ranks - 1, f"first rank of {task}")
    last = model.new_int_var(1, problem.ranks, f"rank after {task}")
    length, width, area = (
        model.new_int_var(min(values.values()), max(values.values()), f"{name} of {task}")
        for name, values in (("length", lengths), ("width", widths), ("area", areas))
    )
    for column, this in chosen.items():
        model.add(length == lengths[column]).only_enforce_if(this)
        model.add(width == widths[column]).only_enforce_if(this)
        model.add(area == areas[column]).only_enforce_if(this)
    time = model.new_interval_var(start, length, end, f"time of {task}")
    place = model.new_interval_var(first, width, last, f"ranks of {task}")
    return _TaskVariables(
        start=start, end=end, first=first, width=width, area=area, time=time, place=place, chosen=chosen
    )


def _schedule(problem: PlanningProblem, solver: Any, blocks: list[_TaskVariables]) -> Schedule:
    """Converts the solver's choices to seconds: in its order, each task as soon as its ranks and producers allow."""
    columns = np.array([next(c for c, this in block.chosen.items() if solver.value(this)) for block in blocks])
    start, end, first_rank = (
        np.array([solver.value(variable) for variable in variables])
        for variables in zip(*((block.start, block.end, block.first) for block in blocks), strict=True)
    )
    return replay(problem, Schedule(columns, start, end, first_rank), problem.at(columns)[0])

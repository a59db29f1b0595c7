"""Explanation of the ranks, layers and time of a task in a plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hpcmtl.errors import InputError, Problem, nearest
from hpcmtl.layerplan.solve.packing import pack, turns_by_start
from hpcmtl.taskgraph.layering import layer_count

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hpcmtl.jobfile.sections import Layers
    from hpcmtl.layerplan.model.speedup import Speedups
    from hpcmtl.layerplan.plan import LayerPlan, PlannedTask
    from hpcmtl.layerplan.problem.planning_problem import PlanningProblem
    from hpcmtl.taskgraph.graph import TaskGraph, TaskNode

OTHERS = 2  # number of smaller and of larger widths to show
MOMENT = 1e-9  # fraction of the makespan within which two times are equal


def explain(
    name: str, graph: TaskGraph, problem: PlanningProblem, plan: LayerPlan, *, rule: Layers, speedups: Speedups
) -> tuple[str, ...]:
    """Returns lines that explain the decisions about a task.

    Raises:
        InputError: there is no such task.
    """
    if name not in graph.index:
        raise InputError([Problem("--explain", f"there is no task {name!r}{nearest(name, graph.names)}")])
    task = plan.task(name)
    return (
        f"{name}: {_ranks(task.first_rank, task.width)}, {task.start:.2f} to {task.end:.2f} s",
        *(
            f"  {line}"
            for line in (
                *_times(graph.task(name), problem, speedups),
                *_width(task, problem, plan),
                *_layers(task, graph, rule),
                *_place(task, plan, graph),
            )
        ),
    )


def _times(task: TaskNode, problem: PlanningProblem, speedups: Speedups) -> Iterator[str]:
    """Explains the source of the predicted times."""
    known = speedups.predict(task, problem.widths)
    if not known.layers:
        yield "times: predicted from its size; no layer of its family was measured"
        return
    widths = ", ".join(map(str, problem.widths[known.measured])) or "none of these"
    yield f"times: measured on {widths} ranks ({known.layers} layers of its family), fitted for other widths"


def _width(task: PlannedTask, problem: PlanningProblem, plan: LayerPlan) -> Iterator[str]:
    """Shows other widths and their effect on the plan if all other tasks keep width and turn."""
    i = problem.names.index(task.name)
    columns = np.array([int(np.searchsorted(problem.widths, other.width)) for other in plan.tasks])
    turn = turns_by_start(problem, np.array([other.start for other in plan.tasks]))
    useful = np.flatnonzero(problem.useful[i])
    here = int(np.searchsorted(useful, columns[i]))
    yield f"width {task.width}: {problem.times[i, columns[i]]:.2f} s"
    for column in [*useful[max(here - OTHERS, 0) : here], *useful[here + 1 : here + 1 + OTHERS]]:
        other = columns.copy()
        other[i] = column
        whole = pack(problem, other, turn=turn).makespan
        seconds, width = problem.times[i, column], problem.widths[column]
        yield f"  with {width}: {seconds:.2f} s, and the plan would take {whole:.2f} s ({whole - plan.makespan:+.2f} s)"
    yield from _other_widths(problem, i, int(columns[i]))


def _other_widths(problem: PlanningProblem, task: int, column: int) -> Iterator[str]:
    """Says why a task has no other width, or no larger one."""
    allowed = np.flatnonzero(problem.allowed[task])
    if len(allowed) == 1:
        yield "  it can have no other number of ranks"
    elif allowed[-1] == column:
        yield "  it can have no more ranks"
    elif problem.times[task].argmin() == column:
        yield "  it can have more ranks, but they would not make it faster"


def _layers(task: PlannedTask, graph: TaskGraph, rule: Layers) -> Iterator[str]:
    node = graph.task(task.name)
    steps, read, quantum = node.work.steps, node.input_bytes / 2**20, rule.quantum / 2**20
    if task.layers != layer_count(rule, node.input_bytes, steps):
        yield f"layers {task.layers}: it has its own number of layers in the job"
    elif rule.policy == "fixed":
        yield f"layers {task.layers}: each task has {rule.count}"
    else:
        most = f", and a task has at most {rule.max_layers}" if read > quantum * rule.max_layers else ""
        each = f"has a layer for each {quantum:.2f} MiB, rounded up{most}"
        yield f"layers {task.layers}: it reads {read:.2f} MiB, and {each}"
    if task.layers == steps:
        yield f"  it has {'one step, and so one layer' if steps == 1 else f'{steps} steps, and so no more layers'}"


def _place(task: PlannedTask, plan: LayerPlan, graph: TaskGraph) -> Iterator[str]:
    moment = MOMENT * max(plan.makespan, 1e-300)
    tasks = {other.name: other for other in plan.tasks}
    waited = [name for name in graph.producers(task.name) if abs(tasks[name].end - task.start) <= moment]
    before = [
        other.name
        for other in plan.tasks
        if abs(other.end - task.start) <= moment
        and other.first_rank < task.first_rank + task.width
        and task.first_rank < other.first_rank + other.width
    ]
    if task.start <= moment:
        yield "starts at once: all its inputs are there"
    elif waited:
        yield f"starts as soon as {' and '.join(waited)} {'has' if len(waited) == 1 else 'have'} ended, which it needs"
    elif before:
        yield f"starts when {' and '.join(before)} frees its ranks: all its inputs were there before"
    else:
        yield "starts later than it could: a more urgent task uses those ranks in between"
    yield f"order: it is given ranks as number {task.order + 1} of {len(plan.tasks)} tasks"
    yield f"  it and the longest chain of tasks after it take {task.priority:.2f} s"
    yield (
        "critical: a delay of it delays everything"
        if task.critical
        else "not critical: it may end later without a later end of the job"
    )


def _ranks(first: int, width: int) -> str:
    return f"rank {first}" if width == 1 else f"ranks {first} to {first + width - 1}"

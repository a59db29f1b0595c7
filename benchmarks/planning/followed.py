"""Runs of planned problems by the rolling-horizon scheduler itself, with given times and no training."""

from __future__ import annotations

from dataclasses import dataclass, replace
from time import process_time
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import numpy as np

from hpcmtl.dispatch.coordinator.running import Running
from hpcmtl.dispatch.coordinator.state import states_of
from hpcmtl.dispatch.scheduling import rolling_horizon
from hpcmtl.jobfile.work import Work
from hpcmtl.layerplan.model.family import family_of
from hpcmtl.layerplan.plan import LayerPlan, PlannedTask
from hpcmtl.layerplan.solve.policies import plan_problem
from hpcmtl.taskgraph.graph import Edge, TaskGraph, TaskNode
from hpcmtl.training.session import LayerOutcome
from planning.families import family

if TYPE_CHECKING:
    from hpcmtl.arrays import Floats
    from hpcmtl.dispatch.coordinator.state import TaskState
    from hpcmtl.layerplan.problem.planning_problem import PlanningProblem
    from hpcmtl.layerplan.solve.packing import Schedule

OPAQUE = Work(1, 1, 1, 1, 0, trains=False, opaque=True)  # each task is a family of its own


ROUNDING = 1e-6  # seconds between ends that are one event
NOISE = 0.2  # tasks take from 1 - NOISE to 1 + NOISE times as long as predicted
SEEDS, DRAWS = 3, 4  # problems of each size, and draws of noise for each


@dataclass(frozen=True)
class Run:
    """A simulated run.

    Attributes:
        makespan: seconds.
        planning: longest processor time of the scheduler at one event, in seconds.
    """

    makespan: float
    planning: float


def runs(quick: bool) -> list[dict[str, Any]]:
    """Runs of family plans by the scheduler, over the planned makespan; tasks of 1 and of 4 layers, +-20 % noise."""
    rows = []
    for model in ("amdahl", "powercom"):
        for tasks in (50,) if quick else (50, 150):
            for ranks in (8, 64):
                found = [_measured(family(model, tasks, ranks, seed + 1)) for seed in range(1 if quick else SEEDS)]
                means = {key: float(np.mean([row[key] for row in found])) for key in found[0]}
                rows.append({"model": model, "tasks": tasks, "ranks": ranks, **means})
    return [*rows, {"model": "mean", **{key: float(np.mean([row[key] for row in rows])) for key in means}}]


def _measured(problem: PlanningProblem) -> dict[str, float]:
    """Returns mean makespans of runs over the planned one, and the longest processor time of an event."""
    schedule, count, row, slowest = plan_problem(problem)[0], len(problem.names), {}, 0.0
    for layers in (1, 4):
        once = np.ones((count, layers))
        draws = [np.random.default_rng([7, seed]).uniform(1 - NOISE, 1 + NOISE, (count, 1)) for seed in range(DRAWS)]
        exact = run(problem, schedule, once, layers)
        noisy = [run(problem, schedule, once * factors, layers) for factors in draws]
        row[f"exact, {layers}"] = exact.makespan / schedule.makespan
        row[f"noise, {layers}"] = float(np.mean([each.makespan for each in noisy])) / schedule.makespan
        slowest = max(slowest, *(each.planning for each in (exact, *noisy)))
    return {**row, "ms": 1000 * slowest}


def run(problem: PlanningProblem, schedule: Schedule, factors: Floats, layers: int) -> Run:
    """Runs a plan in layers that take `factors` (n, layers) times as long as predicted; sessions cost nothing."""
    problem = replace(problem, layers=np.full(len(problem.names), layers))
    graph = _graph(problem)
    plan = _plan(graph, problem, schedule)
    index, column_of = graph.index, {width: i for i, width in enumerate(problem.widths.tolist())}
    with patch.object(rolling_horizon, "make_problem", lambda *_: problem):
        scheduler = rolling_horizon.RollingHorizonScheduler(graph, plan)
        tasks, now, longest = states_of(plan, graph), 0.0, 0.0
        ends: dict[str, float] = {}
        while any(state.status is None for state in tasks.values()):
            began = process_time()
            started = list(scheduler.starts(tasks, now))
            longest = max(longest, process_time() - began)
            for state, block in started:
                i, layer = index[state.plan.name], state.layers_done
                state.running = Running(layer, tuple(block), now, now, opened=False)
                seconds = problem.times[i, column_of[len(block)]] / layers
                ends[state.plan.name] = now + float(seconds * factors[i, layer])
            now = max(end for end in ends.values() if end <= min(ends.values()) + ROUNDING)
            for name in [name for name, end in ends.items() if end <= now]:
                _end(scheduler, tasks[name], now)
                del ends[name]
    return Run(now, longest)


def _end(scheduler: rolling_horizon.RollingHorizonScheduler, state: TaskState, now: float) -> None:
    """Ends the layer that a task runs."""
    running = state.running
    assert running is not None
    seconds = now - running.started
    outcome = LayerOutcome(1, 1.0, seconds, seconds)
    scheduler.layer_ended(state, running, outcome, now)
    state.layers_done, state.running, state.held = running.layer + 1, None, running.group
    if state.layers_done == state.plan.layers:
        state.status, state.held = "complete", None


def _graph(problem: PlanningProblem) -> TaskGraph:
    nodes = (
        TaskNode(name, "train", 0, 1, problem.ranks, 1, int(layers), OPAQUE)
        for name, layers in zip(problem.names, problem.layers, strict=True)
    )
    edges = (Edge(problem.names[a], problem.names[b], "order") for a, b in problem.levels.edges.tolist())
    return TaskGraph(tuple(nodes), tuple(edges))


def _plan(graph: TaskGraph, problem: PlanningProblem, schedule: Schedule) -> LayerPlan:
    seconds, widths = problem.at(schedule.columns)
    bottom = problem.levels.bottom(seconds)
    assert schedule.sequence is not None
    turns = {task: turn for turn, task in enumerate(schedule.sequence)}
    tasks = tuple(
        PlannedTask(
            name=task.name,
            kind=task.kind,
            layers=task.layers,
            width=int(widths[i]),
            job_priority=0,
            priority=float(bottom[i]),
            order=i,
            wave=0,
            start=float(schedule.start[i]),
            end=float(schedule.end[i]),
            late_end=float(schedule.end[i]),
            first_rank=int(schedule.first_rank[i]),
            critical=False,
            family=family_of(task),
            turn=turns[i],
        )
        for i, task in enumerate(graph.tasks)
    )
    return LayerPlan(
        policy="variable",
        ranks=problem.ranks,
        makespan=schedule.makespan,
        lower_bound=0.0,
        utilisation=1.0,
        barrier=False,
        tasks=tasks,
    )

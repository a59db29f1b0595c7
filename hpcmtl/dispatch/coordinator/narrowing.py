"""Narrows the plan and the graph of a job to the ranks that are left after a loss."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from hpcmtl.taskgraph.graph import TaskGraph

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hpcmtl.dispatch.coordinator.state import TaskState
    from hpcmtl.layerplan.plan import LayerPlan

T = TypeVar("T")


def plan_on(plan: LayerPlan, ranks: Sequence[int]) -> LayerPlan:
    """Returns a plan on a machine that has only these of its ranks; its layers keep their places."""
    machine = replace(
        plan.machine,
        rank_speed=_of(ranks, plan.machine.rank_speed),
        rank_memory=_of(ranks, plan.machine.rank_memory),
        rank_gpu_memory=_of(ranks, plan.machine.rank_gpu_memory),
    )
    return replace(plan, ranks=len(ranks), machine=machine)


def _of(ranks: Sequence[int], values: Sequence[T]) -> tuple[T, ...]:
    """Returns the values of some ranks; nothing where the values are unknown."""
    return tuple(values[rank] for rank in ranks) if values else ()


def graph_on(graph: TaskGraph, tasks: Mapping[str, TaskState], ranks: int) -> TaskGraph:
    """Returns a graph in which tasks that do not run any more ask for no more than the ranks that are left."""
    over = {name for name, state in tasks.items() if state.status is not None} | _hopeless(graph, tasks)
    nodes = [replace(node, min_ranks=min(node.min_ranks, ranks)) if node.name in over else node for node in graph.tasks]
    return TaskGraph(tuple(nodes), graph.edges)


def _hopeless(graph: TaskGraph, tasks: Mapping[str, TaskState]) -> set[str]:
    """Returns the tasks that fail once their members have left a stuck layer, and all that need one of them."""
    found: set[str] = set()
    for name, state in tasks.items():  # producers first
        stuck = state.running is not None and state.running.stuck and state.failed >= graph.task(name).retries
        if stuck or not found.isdisjoint(state.needs):
            found.add(name)
    return found

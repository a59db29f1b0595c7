"""How the dispatcher goes on when ranks are lost: numbers anew, what the others know, and another plan."""
# ruff: noqa: SLF001 - a part of the dispatcher

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hpcmtl.dispatch.coordinator.state import Order
from hpcmtl.dispatch.membership.survivors import missed, renumber
from hpcmtl.dispatch.protocol import Abandon, StopRequest
from hpcmtl.errors import InputError
from hpcmtl.layerplan.solve.replan import narrow_plan
from hpcmtl.results.events import WorldShrunk
from hpcmtl.taskgraph.graph import TaskGraph

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcmtl.dispatch.coordinator.dispatcher import Dispatcher
    from hpcmtl.dispatch.membership.survivors import SurvivorReport
    from hpcmtl.layerplan.model.machine import Machine


def lose(
    dispatcher: Dispatcher, survivors: tuple[int, ...], calls: Sequence[SurvivorReport], now: float
) -> list[Order]:
    """Go on with the ranks that are left.

    Layers that lost a rank begin again, from their newest checkpoint, when those of their ranks that live are out of
    them. All others go on.

    Args:
        dispatcher: of the job.
        survivors: old numbers of the ranks that live, in order.
        calls: what each of these knows, by its new number.
        now: seconds.
    """
    renumber(dispatcher.tasks, survivors, calls)
    dispatcher.record(WorldShrunk(ranks=len(survivors), survivors=survivors))
    orders = _plan_again(dispatcher, survivors, now)
    for call in calls:
        if call.signal:
            orders += dispatcher.handle(StopRequest(call.rank, call.signal), now)
        if call.report is not None and missed(dispatcher.tasks, call):
            orders += dispatcher.handle(call.report, now)
    for state, running in dispatcher._running():
        if running.lost_rank:
            orders.append(Order(running.block, Abandon(running.number)))
        if state.running is running and len(running.reported) == len(running.block):
            orders += dispatcher._layer_over(state, running, now)
    return [*orders, *dispatcher.go_on(now)]


def _plan_again(dispatcher: Dispatcher, survivors: tuple[int, ...], now: float) -> list[Order]:
    """Plan for the ranks that are left; if they are too few for a task, stop with checkpoints."""
    tasks, graph, plan = dispatcher.tasks, dispatcher._graph, dispatcher._plan
    ranks = len(survivors)
    plan = replace(plan, ranks=ranks, machine=_machine_of(plan.machine, survivors))
    nodes = [  # what is done needs no ranks
        node if tasks[node.name].status is None else replace(node, min_ranks=min(node.min_ranks, ranks))
        for node in graph.tasks
    ]
    graph = TaskGraph(tuple(nodes), graph.edges)
    try:
        dispatcher.extend(narrow_plan(plan, graph), graph)
    except InputError as error:
        dispatcher._plan = plan
        return dispatcher.stop(f"ranks were lost, and those left are too few: {error.in_one_line}", now)
    return []


def _machine_of(machine: Machine, survivors: Sequence[int]) -> Machine:
    speed, memory = machine.rank_speed, machine.rank_memory
    return replace(
        machine,
        rank_speed=tuple(speed[rank] for rank in survivors) if speed else (),
        rank_memory=tuple(memory[rank] for rank in survivors) if memory else (),
    )

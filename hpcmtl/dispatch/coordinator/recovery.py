"""Recovery of a job from a loss of ranks: the states of its tasks, what the survivors report, and another plan."""
# ruff: noqa: SLF001 - a part of the dispatcher

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hpcmtl.dispatch.coordinator.state import Order
from hpcmtl.dispatch.membership.survivors import mark_lost, missed
from hpcmtl.dispatch.protocol import Abandon, StopRequest
from hpcmtl.errors import InputError
from hpcmtl.layerplan.solve.replan import narrow_plan
from hpcmtl.results.events import WorldShrunk
from hpcmtl.taskgraph.graph import TaskGraph

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcmtl.dispatch.coordinator.dispatcher import Dispatcher
    from hpcmtl.dispatch.membership.survivors import SurvivorReport
    from hpcmtl.dispatch.membership.world import World
    from hpcmtl.layerplan.model.machine import Machine


def lose(dispatcher: Dispatcher, world: World, reports: Sequence[SurvivorReport], now: float) -> list[Order]:
    """Goes on with the members that live.

    A layer that lost a member begins again from its newest checkpoint, once its living members are out of it. All other
    layers go on.

    Args:
        dispatcher: dispatcher of the job.
        world: the members that live.
        reports: a report of each of them.
        now: seconds.
    """
    before, dispatcher.world = dispatcher.world, world
    mark_lost(dispatcher.tasks, world, reports)
    dispatcher.record(WorldShrunk(generation=world.generation, ranks=world.size, members=world.members))
    orders = _plan_again(dispatcher, before, now)
    for survivor in reports:
        if survivor.signal:
            orders += dispatcher.handle(StopRequest(member=survivor.member, signal=survivor.signal), now)
        if survivor.report is not None and missed(dispatcher.tasks, survivor):
            orders += dispatcher.handle(survivor.report, now)
    for state, running in dispatcher._running():
        if running.lost_rank:
            orders.append(Order(running.group, Abandon(running.start_number)))
        if state.running is running and len(running.reported) == len(running.group):
            orders += dispatcher._layer_over(state, running, now)
    return [*orders, *dispatcher.go_on(now)]


def _plan_again(dispatcher: Dispatcher, before: World, now: float) -> list[Order]:
    """Plans for the members that live; if they are too few for a task, stops with checkpoints."""
    tasks, graph, plan, ranks = dispatcher.tasks, dispatcher._graph, dispatcher._plan, dispatcher.world.size
    plan = replace(plan, ranks=ranks, machine=_machine_of(plan.machine, before.ranks_of(dispatcher.world.members)))
    nodes = [  # a task that has ended needs no ranks
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


def _machine_of(machine: Machine, ranks: Sequence[int]) -> Machine:
    """Returns the machine with these of its ranks."""
    speed, memory = machine.rank_speed, machine.rank_memory
    return replace(
        machine,
        rank_speed=tuple(speed[rank] for rank in ranks) if speed else (),
        rank_memory=tuple(memory[rank] for rank in ranks) if memory else (),
    )

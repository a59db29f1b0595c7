"""Recovery of a job from a loss of ranks: the states of its tasks, another plan, and the reports of the survivors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcmtl.dispatch.membership.survivors import mark_lost, missed
from hpcmtl.dispatch.protocol import StopRequest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcmtl.dispatch.coordinator.dispatcher import Dispatcher
    from hpcmtl.dispatch.coordinator.state import Order
    from hpcmtl.dispatch.membership.survivors import SurvivorReport
    from hpcmtl.dispatch.membership.world import World


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
    mark_lost(dispatcher.tasks, world, reports)
    orders = dispatcher.shrink(world, now)
    for survivor in reports:
        if survivor.signal:
            orders += dispatcher.handle(StopRequest(member=survivor.member, signal=survivor.signal), now)
        if survivor.report is not None and missed(dispatcher.tasks, survivor):
            orders += dispatcher.handle(survivor.report, now)
    return [*orders, *dispatcher.end_lost_layers(now)]

"""Which scheduler a plan is run by."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcmtl.dispatch.foresight import Foresight
from hpcmtl.dispatch.inorder import InOrder
from hpcmtl.layerplan.policies import ADAPTIVE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hpcmtl.dispatch.state import Scheduler
    from hpcmtl.layerplan.plan import LayerPlan
    from hpcmtl.layerplan.speedup import Measurement
    from hpcmtl.taskgraph.graph import TaskGraph


def scheduler_for(graph: TaskGraph, plan: LayerPlan, measurements: Iterable[Measurement] = ()) -> Scheduler:
    """Plans that were searched for are followed with foresight; the plain policies are what they say."""
    return Foresight(graph, plan, measurements) if plan.policy in ADAPTIVE else InOrder(graph, plan)

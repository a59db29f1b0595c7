"""Selects the scheduler of a plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcmtl.dispatch.scheduling.deadline import DeadlineScheduler
from hpcmtl.dispatch.scheduling.rolling_horizon import RollingHorizonScheduler
from hpcmtl.dispatch.scheduling.static import StaticScheduler
from hpcmtl.layerplan.solve.policies import ADAPTIVE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hpcmtl.dispatch.coordinator.state import Scheduler
    from hpcmtl.dispatch.scheduling.deadline import TimeLimit
    from hpcmtl.layerplan.model.speedup import Measurement
    from hpcmtl.layerplan.plan import LayerPlan
    from hpcmtl.taskgraph.graph import TaskGraph


def scheduler_for(
    graph: TaskGraph, plan: LayerPlan, measurements: Iterable[Measurement] = (), limit: TimeLimit | None = None
) -> Scheduler:
    """Returns the scheduler of a plan: the rolling horizon for adaptive policies, the static one for plain policies.

    Args:
        graph: tasks of the plan.
        plan: the layer plan.
        measurements: times of layers that ran before.
        limit: time limit of the batch job; None where there is none.
    """
    found: Scheduler = (
        RollingHorizonScheduler(graph, plan, measurements) if plan.policy in ADAPTIVE else StaticScheduler(graph, plan)
    )
    return found if limit is None else DeadlineScheduler(found, limit)

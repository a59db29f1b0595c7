"""Starts layers in the order of the plan, with its widths: what fits goes, with or without barriers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpcmtl.communicators.groups import Pool
from hpcmtl.dispatch.state import held_back, ready
from hpcmtl.layerplan.plan import dispatch_key

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hpcmtl.dispatch.state import Running, TaskState
    from hpcmtl.layerplan.plan import LayerPlan
    from hpcmtl.taskgraph.graph import TaskGraph
    from hpcmtl.training.session import LayerOutcome


class InOrder:
    """A `Scheduler` for the plain policies, which are what they say: they do not adapt."""

    def __init__(self, plan: LayerPlan) -> None:
        self._plan = plan

    def starts(self, tasks: Mapping[str, TaskState], now: float) -> Iterator[tuple[TaskState, range]]:
        """See `Scheduler`; by class and `dispatch_key`, on the ranks that hold a task's session if these are free."""
        pool = Pool(self._plan.ranks, self._plan.machine.node or None)
        for state in tasks.values():
            if state.running is not None:
                pool.take_exactly(state.running.block)
        waiting = [state for state in tasks.values() if ready(tasks, state, now)]
        if self._plan.barrier:
            back = held_back(tasks)
            going = [state.plan.wave for name, state in tasks.items() if state.status is None and name not in back]
            wave = min(going, default=0)
            waiting = [state for state in waiting if state.plan.wave == wave]
        barred = min((state.priority_class for state in waiting), default=0)  # what goes before a class waits for room
        for state in sorted(waiting, key=lambda state: (-state.priority_class, dispatch_key(state.plan))):
            if state.priority_class < barred:
                return
            stays = state.held is not None and len(state.held) == state.plan.width and pool.take_exactly(state.held)
            block = state.held if stays else pool.take(state.plan.width)
            if block is not None:
                yield state, block
            else:
                barred = state.priority_class

    def extend(self, graph: TaskGraph, plan: LayerPlan) -> None:  # noqa: ARG002 - the plan has all that is needed
        """See `Scheduler`."""
        self._plan = plan

    def layer_ended(
        self,
        state: TaskState,  # noqa: ARG002 - nothing is learnt
        running: Running,  # noqa: ARG002
        outcome: LayerOutcome,  # noqa: ARG002
        now: float,  # noqa: ARG002
    ) -> Mapping[str, Any]:
        """See `Scheduler`."""
        return {}

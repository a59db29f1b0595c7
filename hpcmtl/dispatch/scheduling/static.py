"""The static scheduler: starts layers in the order of the plan, with its widths, with or without barriers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpcmtl.dispatch.coordinator.state import held_back, ready
from hpcmtl.dispatch.membership.world import World
from hpcmtl.layerplan.model.speedup import Speedups
from hpcmtl.layerplan.plan import dispatch_key
from hpcmtl.layerplan.problem.constraints import apply_constraints
from hpcmtl.layerplan.problem.occupancy import runs
from hpcmtl.layerplan.problem.planning_problem import make_problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hpcmtl.dispatch.coordinator.running import Running
    from hpcmtl.dispatch.coordinator.state import TaskState
    from hpcmtl.dispatch.membership.world import Members
    from hpcmtl.layerplan.plan import LayerPlan
    from hpcmtl.taskgraph.graph import TaskGraph
    from hpcmtl.training.session import LayerOutcome


class StaticScheduler:
    """A `Scheduler` for the plain policies, which do not adapt."""

    def __init__(self, graph: TaskGraph, plan: LayerPlan) -> None:
        self.extend(graph, plan, World.first(plan.ranks))

    def starts(self, tasks: Mapping[str, TaskState], now: float) -> Iterator[tuple[TaskState, range]]:
        """See `Scheduler`; in the order of class and `dispatch_key`, on the ranks of the session if they are free.

        Under the policy `sequential` one task runs at a time, even if free ranks are left, as in its plan.
        """
        alone = self._plan.policy == "sequential"
        if alone and any(state.running is not None for state in tasks.values()):
            return
        free = (1 << self._problem.placement.ranks) - 1
        for state in tasks.values():
            if state.running is not None:
                free &= ~self._taken(state, self._world.block_of(state.running.group))
        waiting = [state for state in tasks.values() if ready(tasks, state, now)]
        if self._plan.barrier:
            back = held_back(tasks)
            going = [state.plan.wave for name, state in tasks.items() if state.status is None and name not in back]
            wave = min(going, default=0)
            waiting = [state for state in waiting if state.plan.wave == wave]
        barred = min((state.priority_class for state in waiting), default=0)  # lower classes wait as well
        for state in sorted(waiting, key=lambda state: (-state.priority_class, dispatch_key(state.plan))):
            if state.priority_class < barred:
                return
            leader = self._graph.task(state.plan.name).rules.same_block
            block = self._block(state, free, tasks[leader].place if leader else None)
            if block is not None:
                free &= ~self._taken(state, block)
                yield state, block
                if alone:
                    return
            else:
                barred = state.priority_class

    def extend(self, graph: TaskGraph, plan: LayerPlan, world: World) -> None:
        """See `Scheduler`."""
        self._graph, self._plan, self._world = graph, plan, world
        self._problem = apply_constraints(make_problem(graph, plan.ranks, Speedups(machine=plan.machine)))

    def _block(self, state: TaskState, free: int, place: Members | None) -> range | None:
        """Returns the free ranks for a task, those of `place` if its rules say so; None if it has to wait."""
        task, placement = self._graph.index[state.plan.name], self._problem.placement
        width = state.plan.width if place is None else len(place)
        firsts = runs(free, placement.needed(task, width)) & placement.firsts(task, width, placement.speeds[-1])
        group = place or state.held
        wanted = None if group is None else self._world.block_of(group)
        if place is not None and wanted is not None:
            firsts &= 1 << wanted.start
        if not firsts:
            return None
        stays = wanted is not None and len(wanted) == width and firsts >> wanted.start & 1
        first = wanted.start if wanted is not None and stays else (firsts & -firsts).bit_length() - 1
        return range(first, first + width)

    def _taken(self, state: TaskState, block: range) -> int:
        taken = self._problem.placement.taken(self._graph.index[state.plan.name], block)
        return ((1 << len(taken)) - 1) << taken.start

    def widen(self, state: TaskState, width: int, part: float) -> bool:  # noqa: ARG002 - widths are the plan's
        """See `Scheduler`."""
        return False

    def layer_ended(
        self,
        state: TaskState,  # noqa: ARG002 - nothing is learnt
        running: Running,  # noqa: ARG002
        outcome: LayerOutcome,  # noqa: ARG002
        now: float,  # noqa: ARG002
    ) -> Mapping[str, Any]:
        """See `Scheduler`."""
        return {}

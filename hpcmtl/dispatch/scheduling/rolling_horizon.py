"""The rolling horizon: packs the next layers at every event, by measured times, and starts those that are due now.

The plan at the start is a prediction. Widths come from it until a layer takes a fifth more or less time than predicted.
Then all times are predicted again from the layers so far, and new widths are searched with them. The next task and its
ranks are chosen at every event by packing the next tasks around the layers that run. So ranks can be kept for an urgent
task that is about to become ready, while short layers fill the time until then.
"""

from __future__ import annotations

import time
from dataclasses import replace
from operator import mul
from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.dispatch.coordinator.state import held_back, ready
from hpcmtl.dispatch.membership.world import World
from hpcmtl.dispatch.scheduling.plan_in_force import PlanInForce
from hpcmtl.dispatch.scheduling.remaining import around, next_layers, with_edges
from hpcmtl.dispatch.scheduling.stragglers import Stragglers
from hpcmtl.layerplan.model.family import family_of
from hpcmtl.layerplan.model.speedup import Measurement, Speedups
from hpcmtl.layerplan.problem.constraints import apply_constraints
from hpcmtl.layerplan.problem.planning_problem import make_problem
from hpcmtl.layerplan.solve.bounds import bound_of_widths
from hpcmtl.layerplan.solve.packing import Schedule, pack_next
from hpcmtl.layerplan.solve.replan import new_plan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from hpcmtl.arrays import Floats, Ints
    from hpcmtl.dispatch.coordinator.running import Running
    from hpcmtl.dispatch.coordinator.state import TaskState
    from hpcmtl.dispatch.membership.world import Members
    from hpcmtl.dispatch.scheduling.remaining import Busy
    from hpcmtl.layerplan.plan import LayerPlan
    from hpcmtl.layerplan.problem.planning_problem import PlanningProblem
    from hpcmtl.layerplan.solve.packing import FixedPart
    from hpcmtl.taskgraph.graph import TaskGraph
    from hpcmtl.training.session import LayerOutcome

NEXT = 64  # number of tasks that are packed at an event; see benchmarks/planner.py, family noise
FOLLOWED = 200  # number of tasks up to which the plan is followed: all of them are packed at each event
SURPRISE = 1.2  # factor between the time of a layer and its prediction, either way, that calls for new predictions
SECONDS_BETWEEN_PLANS = 1.0
PLANNING_SHARE = 0.02  # largest part of the time for new plans: with 100,000 tasks one takes many seconds
OVERDUE = 0.05  # remaining time of a late layer, as a part of its time so far
MOVE_SECONDS = 0.15  # cost of a session on other ranks, before any was opened (measured: 0.13 to 0.16 s)


class RollingHorizonScheduler:
    """A `Scheduler` that adapts: it changes group widths at layer boundaries where that is predicted to save time."""

    def __init__(
        self,
        graph: TaskGraph,
        plan: LayerPlan,
        measurements: Iterable[Measurement] = (),
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Starts with a plan.

        Args:
            graph: tasks of the plan.
            plan: layer plan, whose widths are the first ones.
            measurements: times of layers that ran before.
            clock: returns seconds; measures the time of planning itself.
        """
        self._clock = clock
        self._machine = plan.machine  # with the present speeds of the ranks
        self._stragglers = Stragglers(plan.ranks)
        self._measured = list(measurements)
        self._beside: dict[bool, list[float]] = {True: [], False: []}  # seconds beside the steps, by `Running.opened`
        self._surprised, self._plan_at = False, -np.inf
        self._world = World.first(plan.ranks)
        self.extend(graph, plan, self._world)

    def extend(self, graph: TaskGraph, plan: LayerPlan, world: World) -> None:
        """See `Scheduler`."""
        self._graph, self._plan = graph, plan
        if world != self._world:  # ranks were lost: new widths are searched for those that live
            self._machine, self._stragglers, self._surprised = plan.machine, Stragglers(world.size), True
        self._world = world
        self._predict()
        self._widened: dict[str, int] = {}  # task -> column of the width of its next layer, before a time limit
        self._in_force = PlanInForce.of(plan, self._problem.widths)
        self._columns = self._in_force.columns.copy()

    def starts(self, tasks: Mapping[str, TaskState], now: float) -> Iterator[tuple[TaskState, range]]:
        """See `Scheduler`."""
        states = list(tasks.values())
        if not any(ready(tasks, state, now) for state in states):
            return
        replans, began = self._surprised and now >= self._plan_at, self._clock()
        if replans:
            self._predict()
        back = held_back(tasks)
        going = [state.status is None and state.plan.name not in back for state in states]
        left = np.array([i for i, state in enumerate(states) if going[i] and _layers_left(state)])
        release, busy = self._release(states, now)[left], self._busy(states, now)
        classes = np.array([states[i].priority_class for i in left.tolist()], dtype=np.int64)
        rest = replace(self._problem.part(left, 0.0, release), priority=classes)
        rest = self._pressed(self._pinned(rest, left, states), left, states)
        counts = np.array([_layers_left(states[i]) for i in left.tolist()])
        if replans:
            self._replan(_together(rest, counts), left, self._blocks(states, left), around(busy, len(left)))
            pause = max(SECONDS_BETWEEN_PLANS, (self._clock() - began) / PLANNING_SHARE)
            self._surprised, self._plan_at = False, now + pause
        packed = self._pack(states, left, rest, counts, busy)
        due = {states[i].plan.name for i in left[packed.start[: len(left)] <= 0.0].tolist()}
        early = [pair for pair in self._unbegun(tasks) if pair[1] in due and pair[0] not in due]
        if early:
            rest = replace(rest, levels=with_edges(rest, self._unbegun(tasks)))
            packed = self._pack(states, left, rest, counts, busy)
        for k in np.flatnonzero(packed.start[: len(left)] <= 0.0).tolist():
            first, width = int(packed.first_rank[k]), int(rest.widths[packed.columns[k]])
            yield states[left[k]], range(first, first + width)

    def layer_ended(self, state: TaskState, running: Running, outcome: LayerOutcome, now: float) -> Mapping[str, Any]:
        """See `Scheduler`; the prediction goes to the ledger, beside the measured time."""
        if outcome.stopped or outcome.steps < 1 or not outcome.step_seconds > 0:  # no measurement
            return {}
        seconds = now - running.started
        predicted = self._layer_seconds(state, running)
        family = family_of(self._graph.task(state.plan.name))
        block = self._world.block_of(running.group)
        nodes, contention = self._machine.share(block)
        rows, steps, step, ranks = outcome.rows, outcome.steps, outcome.step_seconds, len(block)
        self._measured.append(
            Measurement(family, ranks, nodes, contention, rows=rows, steps=steps, step_seconds=step, seconds=seconds)
        )
        self._beside[running.opened].append(max(seconds - outcome.steps * outcome.step_seconds, 0.0))
        if max(seconds, predicted) > SURPRISE * min(seconds, predicted):
            self._surprised = True
        self._stragglers.note(block, self._measured[-1], now)
        slow = self._slow_ranks(now)
        return {"predicted_seconds": predicted, **({"slow_ranks": slow} if slow else {})}

    def widen(self, state: TaskState, width: int, part: float) -> bool:
        """See `Scheduler`."""
        i, same_block = self._graph.index[state.plan.name], self._problem.rules.same_block
        if same_block is not None and (same_block[i] >= 0 or i in same_block):
            return False
        times, here = self._problem.times[i], int(np.searchsorted(self._problem.widths, width))
        if here >= len(times) or not np.isfinite(times[here]):  # a width from before a loss of ranks
            return False
        quick = here + 1 + np.flatnonzero(times[here + 1 :] <= part * times[here])
        if len(quick):
            self._widened[state.plan.name] = int(quick[0])
        return bool(len(quick))

    def _slow_ranks(self, now: float) -> list[int]:
        """Returns the members that have become slow; from now on they are planned with their speeds."""
        found, machine = self._stragglers.speeds(now), self._plan.machine
        if min(found) < 1:
            base = machine.rank_speed or (1.0,) * len(found)
            machine = replace(machine, rank_speed=tuple(map(mul, base, found)))
        if machine != self._machine:
            self._machine, self._surprised = machine, True
        return [self._world.member_of(rank) for rank, speed in enumerate(found) if speed < 1]

    def _pack(
        self, states: Sequence[TaskState], left: Ints, rest: PlanningProblem, counts: Ints, busy: Busy
    ) -> Schedule:
        """Packs the tasks that are left as in the plan in force, or by bottom levels if they then end sooner.

        By bottom levels the next layers are packed, and the rests of these tasks after them.
        """
        placement, few = self._blocks(states, left), len(left) <= FOLLOWED
        layers, after = next_layers(rest, counts)
        columns = np.array([column for column, _ in placement])
        columns = np.concatenate([columns, self._columns[left[after]]])
        seconds, widths = layers.at(columns)
        reach = bound_of_widths(layers, seconds, widths)
        stay, most = [first for _, first in placement] + [-1] * len(after), len(columns) if few else NEXT
        packed = pack_next(layers, columns, reach, around(busy, len(columns)), most=most, stay=stay)
        if not few:
            return packed
        followed = self._in_force.pack(_together(rest, counts), left, placement, around(busy, len(left)))
        if followed.makespan <= packed.makespan:
            return followed
        if not len(after):  # else the ranks of a task may change after its next layer, which no plan in force says
            self._follow(left, packed)
        return packed

    def _replan(self, rest: PlanningProblem, left: Ints, blocks: list[tuple[int, int]], fixed: FixedPart) -> None:
        """Puts the best of some new plans in force, or keeps the old one; `rest` is what is left of the tasks."""
        old = self._in_force.pack(rest, left, blocks, fixed)
        self._follow(left, new_plan(rest, self._columns[left], fixed, old))

    def _follow(self, left: Ints, found: Schedule) -> None:
        self._in_force = self._in_force.replaced(left, found)
        self._columns[left] = self._in_force.columns[left]

    def _blocks(self, states: Sequence[TaskState], left: Ints) -> list[tuple[int, int]]:
        return [self._where_it_is(states[i], i) for i in left.tolist()]

    def _unbegun(self, tasks: Mapping[str, TaskState]) -> list[tuple[str, str]]:
        """Returns the live edges whose producer does not run: their consumers may start with it, but not before."""
        live = ((producer, name) for name, producers in self._graph.live.items() for producer in producers)
        return [(producer, name) for producer, name in live if tasks[producer].waits]

    def _predict(self) -> None:
        speedups = Speedups(self._measured, self._machine)
        self._problem = apply_constraints(make_problem(self._graph, self._plan.ranks, speedups))

    def _release(self, states: Sequence[TaskState], now: float) -> Floats:
        """Returns the (n,) seconds from now before which tasks cannot go on, because of layers that run."""
        release = np.zeros(len(states))
        consumers = self._problem.levels.consumers
        for i, state in enumerate(states):
            if state.running is not None:
                remaining = self._remaining(state, state.running, now)
                held_up = i if _layers_left(state) else consumers.items[consumers.starts[i] : consumers.starts[i + 1]]
                release[held_up] = np.maximum(release[held_up], remaining)
            release[i] = max(release[i], state.not_before - now)
        return release

    def _busy(self, states: Sequence[TaskState], now: float) -> Busy:
        """Returns the ranks of the layers that run, and the seconds until they are free."""
        taken, block_of = self._problem.placement.taken, self._world.block_of
        running = [(i, state, state.running) for i, state in enumerate(states) if state.running is not None]
        return tuple((taken(i, block_of(run.group)), self._remaining(state, run, now)) for i, state, run in running)

    def _pinned(self, rest: PlanningProblem, left: Ints, states: Sequence[TaskState]) -> PlanningProblem:
        """Pins tasks to the block that they share with a task which has ended, or is in its last layer."""
        if self._problem.rules.same_block is None:
            return rest
        times, pinned = rest.times.copy(), np.full(len(left), -1)
        for k, i in enumerate(left.tolist()):
            leader = int(self._problem.rules.same_block[i])
            block = self._block(states[leader].place) if leader >= 0 and leader not in left else None
            column = int(np.searchsorted(rest.widths, len(block))) if block is not None else 0
            if block is not None and np.isfinite(times[k, column]):
                times[k, np.arange(len(rest.widths)) != column] = np.inf
                self._columns[i], pinned[k] = column, block.start
        return replace(rest, times=times, rules=replace(rest.rules, pinned=pinned))

    def _pressed(self, rest: PlanningProblem, left: Ints, states: Sequence[TaskState]) -> PlanningProblem:
        """Forbids widths that are too narrow to end before the time limit, see `widen`."""
        if not self._widened:  # the usual case, and this runs at every event
            return rest
        times = rest.times.copy()
        for k, i in enumerate(left.tolist()):
            column = self._widened.get(states[i].plan.name, 0)
            times[k, :column], self._columns[i] = np.inf, max(int(self._columns[i]), column)
        return replace(rest, times=times)

    def _where_it_is(self, state: TaskState, i: int) -> tuple[int, int]:
        """Returns the column of the width that a task should have, and the first rank of its block; -1 for any.

        The task stays on its ranks, unless it ends sooner on others, the cost of the move included.
        """
        column, needed = int(self._columns[i]), self._widened.get(state.plan.name, 0)
        held = self._block(state.held)
        if held is None or len(held) < self._problem.widths[needed]:
            return column, -1
        here = int(np.searchsorted(self._problem.widths, len(held)))
        times, part = self._problem.times[i], _layers_left(state) / state.plan.layers
        if times[column] * part + self._move_seconds() < times[here] / self._machine.slowest(held) * part:
            return column, -1
        return here, held.start

    def _block(self, group: Members | None) -> range | None:
        return None if group is None else self._world.block_of(group)

    def _move_seconds(self) -> float:
        opened, stayed = self._beside[True], self._beside[False]
        return max(float(np.mean(opened) - np.mean(stayed)), 0.0) if opened and stayed else MOVE_SECONDS

    def _layer_seconds(self, state: TaskState, running: Running) -> float:
        """Returns the predicted seconds of a running layer."""
        i = self._graph.index[state.plan.name]
        column = int(np.searchsorted(self._problem.widths, len(running.group)))
        speed = self._machine.slowest(self._world.block_of(running.group))
        return float(self._problem.times[i, column]) / state.plan.layers / speed

    def _remaining(self, state: TaskState, running: Running, now: float) -> float:
        """Returns the expected seconds until a running layer ends, above 0; one that lost a rank ends at once."""
        if running.lost_rank:
            return 1e-3
        so_far = now - running.started
        left = self._layer_seconds(state, running) - so_far
        return max(left if left >= 0 else OVERDUE * so_far, 1e-3)


def _together(rest: PlanningProblem, counts: Ints) -> PlanningProblem:
    """Returns the tasks with the times of the layers that are left, `counts` (n,) of each."""
    return replace(rest, times=rest.times * (counts / rest.layers)[:, None])


def _layers_left(state: TaskState) -> int:
    """Returns the number of layers of a task that have not been started."""
    return state.plan.layers - state.layers_done - (state.running is not None)

"""The dispatcher: takes a job through its layers. Pure: reports and the clock come in, commands and events go out.

The scheduler decides which layers start, when and where. There is no barrier over the world unless the plan asks for
one. A task keeps its group (engine, network, optimizer state in memory) from layer to layer, until the scheduler moves
the task or gives its ranks to another one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hpcmtl.dispatch.coordinator.ageing import age, seconds_a_class
from hpcmtl.dispatch.coordinator.history import go_on_from
from hpcmtl.dispatch.coordinator.lifecycle import TaskLifecycle
from hpcmtl.dispatch.coordinator.narrowing import graph_on, plan_on
from hpcmtl.dispatch.coordinator.running import Running, unrecoverable
from hpcmtl.dispatch.coordinator.silence import SilenceWatch, stuck_failure
from hpcmtl.dispatch.coordinator.state import Order, only_paused, remake, start_command, states_of
from hpcmtl.dispatch.coordinator.task_source import TaskSources
from hpcmtl.dispatch.membership.survivors import had_begun, restart_of
from hpcmtl.dispatch.membership.world import World
from hpcmtl.dispatch.protocol import (
    Abandon,
    EndOfJob,
    EventReport,
    LayerDone,
    LayerFailed,
    PointsReport,
    ProgressReport,
    StopRequest,
    StopTraining,
)
from hpcmtl.errors import InputError
from hpcmtl.layerplan.solve.replan import narrow_plan
from hpcmtl.results import events

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hpcmtl.dispatch.coordinator.state import Observer, Scheduler, TaskState
    from hpcmtl.dispatch.membership.world import Members
    from hpcmtl.dispatch.protocol import Report
    from hpcmtl.layerplan.plan import LayerPlan
    from hpcmtl.results.events import RunEvent
    from hpcmtl.results.history import TaskHistory
    from hpcmtl.taskgraph.graph import TaskGraph

GRACE_SECONDS = 3.0
"""Seconds from the failure of one member until the others must have reported. A rank that failed alone leaves its group
waiting in a collective, and only the end of the run gets the others out."""

FIRST_BACK_OFF_SECONDS = 1.0
"""Seconds before the first retry of a task; each further retry waits twice as long."""


class Dispatcher:
    """The state machine of a running job; `silence` finds its layers that say nothing for long."""

    def __init__(
        self,
        plan: LayerPlan,
        graph: TaskGraph,
        observer: Observer,
        scheduler: Scheduler,
        *,
        history: Mapping[str, TaskHistory] | None = None,
        sources: TaskSources | None = None,
    ) -> None:
        """Adopts a plan.

        Args:
            plan: the layers, widths and order of all tasks.
            graph: the tasks of the plan.
            observer: records the events.
            scheduler: chooses the layers that start next, and their ranks.
            history: what earlier attempts of the run did, by task.
            sources: task sources of the job; none by default.
        """
        self.lifecycle = TaskLifecycle(states_of(plan, graph), self.record)
        self.world = World.first(plan.ranks)
        self._plan, self._graph = plan, graph
        self._observer, self.silence = observer, SilenceWatch()
        self._scheduler = scheduler
        self._stop_reason, self._starts = "", 0
        self._end_ordered = self._pause_recorded = False
        self.sources = sources or TaskSources()
        for name in self.tasks.keys() & (history or {}).keys():
            go_on_from(self.tasks[name], (history or {})[name])

    @property
    def tasks(self) -> Mapping[str, TaskState]:
        """State of each task, producers first."""
        return self.lifecycle.tasks

    @property
    def stopping(self) -> bool:
        """Returns whether the job stops: no further layer starts."""
        return bool(self._stop_reason)

    @property
    def ended(self) -> bool:
        """Returns whether every task has ended, or every one that runs has stopped."""
        over = self.sources.exhausted and all(state.status is not None for state in self.tasks.values())
        return over or (self.stopping and not self._running())

    def record(self, event: RunEvent) -> None:
        """Records an event, and keeps it for the task sources."""
        self._observer.record(event)
        self.sources.note(event)

    def start(self, now: float) -> list[Order]:
        """Returns the first orders."""
        for state in self.tasks.values():
            if state.status is None:  # an earlier attempt may have been killed before it recorded the end
                self.lifecycle.end_if_over(state)
        return self.go_on(now)

    def handle(self, report: Report, now: float) -> list[Order]:
        """Takes a report and returns the orders that follow from it."""
        if isinstance(report, ProgressReport):
            if (running := self.tasks[report.progress.task].running) is not None:
                running.progressed(now, report.progress)
            self._observer.progressed(report.progress)
            return []
        if isinstance(report, PointsReport):
            self._observer.add_points(report.points)
            return []
        if isinstance(report, EventReport):
            self.record(self.lifecycle.noted(report.event, now))
            return []
        if isinstance(report, StopRequest):
            return self.stop(f"rank {report.member} got {report.signal}", now)
        state = self.tasks[report.task]
        running = state.running
        if isinstance(report, LayerDone) and (running is None or report.start_number != running.start_number):
            return []  # all members failed and reported that; this is the end of the reduction
        assert running is not None, f"rank {report.member} reports on {report.task}, which does not run"
        running.reported.update(report.finished if isinstance(report, LayerDone) else [report.member])
        running.heard(now)
        if isinstance(report, LayerFailed):
            running.failures.append(report)
            running.lost_rank = running.lost_rank or report.lost
            running.deadline = None if running.lost_rank else running.deadline or now + GRACE_SECONDS
            self.record(report.to_event())
        elif isinstance(report, LayerDone) and report.outcome is not None:
            running.outcome = report.outcome
        if len(running.reported) == len(running.group):
            return self._layer_over(state, running, now)
        # The whole group gives up a layer that one of its ranks could not begin, or saw a rank die in.
        lost = isinstance(report, LayerFailed) and report.lost
        return [Order(running.group, Abandon(running.start_number))] if lost else []

    def check(self, now: float) -> list[Order]:
        """Looks at the clock: late layers are recorded, stuck ones given up, and the retries that are due start.

        Raises:
            UnrecoverableError: members have not left a layer in time that another one failed in, or that was given up.
        """
        orders = self.silence.look(self._running(), now, self.record)
        for state, running in self._running():
            if running.deadline is not None and now > running.deadline:
                self.lifecycle.fail_stuck(state, running)
                raise unrecoverable(running)
        due = [state for state in self.tasks.values() if state.waits and 0 < state.not_before <= now]
        for state in due:
            state.not_before = 0.0
        return [*orders, *self.go_on(now)] if due else orders

    def _layer_over(self, state: TaskState, running: Running, now: float) -> list[Order]:
        name, width = state.plan.name, len(running.group)
        state.running, orders = None, []
        if running.lost_rank and (running.failures or running.outcome is None):
            state.held = running.group  # the release orders these members to close their sessions
            orders += self.lifecycle.release(state)
            state.steps = None  # its newest checkpoint may lie inside the layer
            if running.stuck:
                orders += self._fail(state, stuck_failure(state, running), now)
            else:
                self.record(restart_of(name, running))
                if running.lost and had_begun(running):
                    state.lose_layer(running.layer)
                orders += self.lifecycle.end_if_over(state)
        elif running.failures:
            state.held = running.group
            orders += self.lifecycle.release(state)
            orders += self._fail(state, running.failures[0], now)
        else:
            assert running.outcome is not None, f"no outcome of {name}, layer {running.layer} was reported"
            outcome = running.outcome
            state.outcomes.append((width, outcome))
            state.steps = outcome.reached
            state.held = running.group
            learnt = self._scheduler.layer_ended(state, running, outcome, now)
            self.record(replace(outcome.to_event(name, running.layer, width), seconds=now - running.started, **learnt))
            if not outcome.stopped:
                state.layers_done = state.plan.layers if outcome.ended_early else running.layer + 1
            if outcome.stopped or self.stopping:  # a layer may end before the order to stop arrives
                state.message = "stopped with a checkpoint"
            if state.layers_done == state.plan.layers:
                state.owner = None if running.lost_rank else running.group[0]
                state.held = None  # its ranks close the session themselves after the last layer
            orders += self.lifecycle.end_if_over(state)
            if state.status is None and (state.paused or running.lost_rank):
                orders += self.lifecycle.release(state)
        return [*orders, *self.lifecycle.skip_hopeless(), *self.go_on(now)]

    def _fail(self, state: TaskState, failure: LayerFailed, now: float) -> list[Order]:
        """Tries a task again from its last checkpoint, if it has retries left; else ends it as failed."""
        if state.cancelled:
            return self.lifecycle.end(state, "cancelled", "was cancelled")
        if remake(self.tasks, failure.damaged) is not None:
            damaged = events.ArtifactDamaged(
                task=failure.damaged, consumer=failure.task, layer=failure.layer, message=failure.message
            )
            self.record(damaged)
            return []
        if failure.no_space:  # the next try, and the next task, would meet the same
            return self.stop(failure.message, now)
        retries = self._graph.task(state.plan.name).retries
        if failure.may_retry and state.failed < retries:
            wait = FIRST_BACK_OFF_SECONDS * 2**state.failed
            state.failed, state.not_before = state.failed + 1, now + wait
            retry = {"retry": state.failed, "retries": retries, "wait": wait}
            self.record(events.TaskRetried(task=failure.task, layer=failure.layer, message=failure.message, **retry))
            return []
        return self.lifecycle.end(state, "failed", failure.message)

    def extend(self, plan: LayerPlan, graph: TaskGraph) -> None:
        """Goes on with a plan and a graph of more tasks, or for another world; known tasks keep their states."""
        self.lifecycle.tasks, self._plan, self._graph = states_of(plan, graph, self.tasks), plan, graph
        self._scheduler.extend(graph, plan, self.world)

    def shrink(self, world: World, now: float) -> list[Order]:
        """Plans for the members of a smaller world; if they are too few for a task, stops with checkpoints."""
        ranks, self.world = self.world.ranks_of(world.members), world
        self.record(events.WorldShrunk(generation=world.generation, ranks=world.size, members=world.members))
        self._plan = plan_on(self._plan, ranks)
        graph = graph_on(self._graph, self.tasks, world.size)
        try:
            self.extend(narrow_plan(self._plan, graph), graph)
        except InputError as error:
            return self.stop(f"ranks were lost, and those left are too few: {error.in_one_line}", now)
        return []

    def end_lost_layers(self, now: float) -> list[Order]:
        """Abandons the layers that lost a rank, and ends the layers that all living members have reported on."""
        orders: list[Order] = []
        for state, running in self._running():
            if running.lost_rank:
                orders.append(Order(running.group, Abandon(running.start_number)))
            if state.running is running and len(running.reported) == len(running.group):
                orders += self._layer_over(state, running, now)
        return [*orders, *self.go_on(now)]

    def stop(self, reason: str, now: float) -> list[Order]:
        """Stops all layers with checkpoints, after which the job ends; no orders if that is under way."""
        if self.stopping or self._end_ordered:
            return []
        self._stop_reason = reason
        self.record(events.JobStopping(reason=reason))
        return [Order(self.world.members, StopTraining()), *self.go_on(now)]

    def go_on(self, now: float) -> list[Order]:
        """Starts the layers that can start, and ends the job if no task is left."""
        orders: list[Order] = []
        if not self.stopping:
            age(self.tasks, now, seconds_a_class(self._plan.makespan))
            for state, block in self._scheduler.starts(self.tasks, now):
                orders += self._start(state, self.world.group_of(block), now)
        if self.ended and not self._end_ordered:
            self._end_ordered = True
            for state in self.tasks.values():
                orders += self.lifecycle.release(state)
            orders.append(Order(self.world.members, EndOfJob()))
        paused = only_paused(self.tasks)
        if paused and not self._pause_recorded and not self.stopping:
            self.record(events.JobPaused(tasks=tuple(paused)))
        self._pause_recorded = bool(paused)
        return orders

    def _start(self, state: TaskState, group: Members, now: float) -> list[Order]:
        orders, opened = list[Order](), state.held != group
        for other in self.tasks.values():
            if other.held is not None and (opened if other is state else not set(other.held).isdisjoint(group)):
                orders += self.lifecycle.release(other)
        state.held, state.place = None, group
        self._starts += 1
        state.running = Running(state.layers_done, group, now, now, opened, start_number=self._starts)
        command = start_command(self.tasks, state, state.running)
        self.record(command.to_event())
        return [*orders, Order(group, command)]

    def _running(self) -> list[tuple[TaskState, Running]]:
        return [(state, state.running) for state in self.tasks.values() if state.running is not None]

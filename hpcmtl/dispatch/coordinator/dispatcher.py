"""Takes a job through its layers. Pure: reports and the clock come in, commands go out.

What starts when and where is the scheduler's word (`foresight`, `inorder`). There is no barrier over the world unless
the plan asks for one. A task keeps its group (engine, network, optimizer state in memory) from layer to layer unless
the scheduler moves it, or gives those ranks to another.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hpcmtl.dispatch.coordinator.ageing import age, seconds_a_class
from hpcmtl.dispatch.coordinator.history import go_on_from
from hpcmtl.dispatch.coordinator.recovery import abandoned, lose
from hpcmtl.dispatch.coordinator.state import (
    Order,
    Running,
    owners,
    remake,
    states_of,
    unrecoverable,
    waits_for_somebody,
)
from hpcmtl.dispatch.protocol import (
    EndOfJob,
    EventReport,
    LayerDone,
    LayerFailed,
    ProgressReport,
    Release,
    RunLayer,
    StopLayer,
    StopRequest,
    StopTraining,
)
from hpcmtl.results import events

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hpcmtl.dispatch.coordinator.state import Observer, Scheduler, TaskState
    from hpcmtl.dispatch.membership.survivors import SurvivorReport
    from hpcmtl.dispatch.protocol import Report
    from hpcmtl.layerplan.plan import LayerPlan
    from hpcmtl.results.history import TaskHistory
    from hpcmtl.results.outcome.summary import TaskStatus
    from hpcmtl.taskgraph.graph import TaskGraph

# A rank that failed alone leaves its group waiting in a collective; when the others have not reported by then, they are
# stuck, and only the end of the run gets them out.
GRACE_SECONDS = 3.0
# A layer that has said nothing for so long is named, with the ranks that have not reported; it may still be well.
LATE_SECONDS = 300.0
# A task that may be tried again waits so long, and twice as long each time after.
FIRST_BACK_OFF_SECONDS = 1.0

_FATES = {"failed": "failed", "skipped": "was skipped", "cancelled": "was cancelled"}


class Dispatcher:
    """The state of a running job on rank 0."""

    def __init__(
        self,
        plan: LayerPlan,
        graph: TaskGraph,
        observer: Observer,
        scheduler: Scheduler,
        history: Mapping[str, TaskHistory] | None = None,
    ) -> None:
        """Adopt a plan of a graph; `history` holds what earlier attempts did of each task."""
        self.tasks = states_of(plan, graph)
        self._plan, self._graph = plan, graph
        self._observer = observer
        self._scheduler = scheduler
        self._stop_reason, self._starts = "", 0
        self._told_end = self._told_wait = False
        self._lost = False  # whether a task ended otherwise than complete, so that others may wait in vain
        self.expecting = False  # whether more tasks may be on their way: the job does not end before they are here
        for name in self.tasks.keys() & (history or {}).keys():
            go_on_from(self.tasks[name], (history or {})[name])

    @property
    def ranks(self) -> int:
        """Ranks that live."""
        return self._plan.ranks

    @property
    def stopping(self) -> bool:
        """Whether no new layer is started any more."""
        return bool(self._stop_reason)

    @property
    def ended(self) -> bool:
        """Whether every task has ended, or every one that runs has stopped."""
        over = all(state.status is not None for state in self.tasks.values()) and not self.expecting
        return over or (self.stopping and not self._running())

    def start(self, now: float) -> list[Order]:
        """The first orders."""
        for state in self.tasks.values():
            if state.status is None:  # an earlier attempt may have been killed before it could say so
                self._end_if_over(state)
        return self.go_on(now)

    def handle(self, report: Report, now: float) -> list[Order]:
        """Take in a report and give the orders that follow from it."""
        if isinstance(report, ProgressReport):
            running = self.tasks[report.progress.task].running
            if running is not None:
                running.last_word = now
            self._observer.progressed(report.progress)
            return []
        if isinstance(report, EventReport):
            self._observer.record(report.event)
            return []
        if isinstance(report, StopRequest):
            return self.stop(f"rank {report.rank} got {report.signal}", now)
        state = self.tasks[report.task]
        running = state.running
        if isinstance(report, LayerDone) and (running is None or report.number != running.number):
            return []  # all members have failed, and told so themselves; this is only the end of the gathering
        assert running is not None, f"rank {report.rank} reports on {report.task}, which does not run"
        running.reported.update(report.ranks if isinstance(report, LayerDone) else [report.rank])
        running.last_word = now
        if isinstance(report, LayerFailed):
            running.failures.append(report)
            running.lost_rank = running.lost_rank or report.lost
            running.deadline = None if running.lost_rank else running.deadline or now + GRACE_SECONDS
            self._observer.record(report.to_event())
        elif isinstance(report, LayerDone) and report.outcome is not None:
            running.outcome = report.outcome
        if len(running.reported) == len(running.block):
            return self._layer_over(state, running, now)
        return abandoned(running, report)

    def lose(self, survivors: tuple[int, ...], calls: Sequence[SurvivorReport], now: float) -> list[Order]:
        """Go on with the ranks that are left, see `survivors`; `calls` has what each of them knows."""
        return lose(self, survivors, calls, now)

    def check(self, now: float) -> list[Order]:
        """Look at the clock: name layers that are late, once, and start what has waited long enough.

        Raises:
            UnrecoverableError: if the partners of a failed rank have not come back in time.
        """
        for state, running in self._running():
            if now - running.last_word > LATE_SECONDS and not running.late:
                running.late = True
                silent = tuple(sorted(set(running.block) - running.reported))
                self._observer.record(events.LayerLate(task=state.plan.name, layer=running.layer, silent_ranks=silent))
            if running.deadline is not None and now > running.deadline:
                raise unrecoverable(running)
        due = [state for state in self.tasks.values() if state.waits and 0 < state.not_before <= now]
        for state in due:
            state.not_before = 0.0
        return self.go_on(now) if due else []

    def _layer_over(self, state: TaskState, running: Running, now: float) -> list[Order]:
        name, width = state.plan.name, len(running.block)
        state.running, orders = None, []
        if running.lost_rank and (running.failures or running.outcome is None):
            orders += self._release(state, running.block)
            state.steps = None  # its newest checkpoint may lie inside the layer
            self._observer.record(events.LayerRestarted(task=name, layer=running.layer))
        elif running.failures:
            orders += self._release(state, running.block)
            orders += self._fail(state, running.failures[0], now)
        else:
            assert running.outcome is not None, f"nobody said what came out of {name}, layer {running.layer}"
            outcome = running.outcome
            state.outcomes.append((width, outcome))
            state.steps = outcome.reached
            state.held = running.block
            learnt = self._scheduler.layer_ended(state, running, outcome, now)
            ended = outcome.to_event(name, running.layer, width)
            self._observer.record(replace(ended, seconds=now - running.started, **learnt))
            if not outcome.stopped:
                state.layers_done = running.layer + 1
            if outcome.stopped or self.stopping:  # a layer may have come to its end before it heard of the stop
                state.message = "stopped with a checkpoint"
            if state.layers_done == state.plan.layers:
                state.owner = None if running.lost_rank else running.block.start
                state.held = None  # its ranks close the session themselves after the last layer
            orders += self._end_if_over(state)
            if state.status is None and (state.paused or running.lost_rank) and state.held:
                orders += self._release(state, state.held)
        return [*orders, *self._skip_hopeless(), *self.go_on(now)]

    def _end_if_over(self, state: TaskState) -> list[Order]:
        if state.cancelled:
            return self.end(state, "cancelled", "was cancelled")
        return self.end(state, "complete") if state.layers_done == state.plan.layers else []

    def _fail(self, state: TaskState, failure: LayerFailed, now: float) -> list[Order]:
        """Try the task again from its last checkpoint, if it may; else it has failed, and with it all that needs it."""
        state.held = None
        if state.cancelled:
            return self.end(state, "cancelled", "was cancelled")
        if remake(self.tasks, failure.damaged) is not None:
            damaged = events.ArtifactDamaged(
                task=failure.damaged, consumer=failure.task, layer=failure.layer, message=failure.message
            )
            self._observer.record(damaged)
            return []
        retries = self._graph.task(state.plan.name).retries
        if state.failed < retries:
            wait = FIRST_BACK_OFF_SECONDS * 2**state.failed
            state.failed += 1
            state.not_before = now + wait
            retry = {"retry": state.failed, "retries": retries, "wait": wait}
            retried = events.TaskRetried(task=failure.task, layer=failure.layer, message=failure.message, **retry)
            self._observer.record(retried)
            return []
        return self.end(state, "failed", failure.message)

    def _skip_hopeless(self) -> list[Order]:
        """End what waits for tasks that did not complete; what ran beside one may still hold a session."""
        orders: list[Order] = []
        for other in self.tasks.values() if self._lost else ():
            lost = next((need for need in other.needs if self.tasks[need].status in _FATES), None)
            if lost is not None and other.waits:
                orders += self._release(other, other.held) if other.held else []
                self._note_end(other, "skipped", f"needs {lost}, which {_FATES[str(self.tasks[lost].status)]}")
        return orders

    def end(self, state: TaskState, status: TaskStatus, message: str = "") -> list[Order]:
        """End a task that does not run, and skip all that needs it if it did not complete; let go of its ranks."""
        orders = self._release(state, state.held) if state.held else []
        self._note_end(state, status, message)
        self._lost = self._lost or status != "complete"
        return [*orders, *self._skip_hopeless()]

    def _note_end(self, state: TaskState, status: TaskStatus, message: str) -> None:
        state.status, state.message = status, message
        self._observer.record(events.TaskEnded(task=state.plan.name, status=status, message=message))

    def halt(self, state: TaskState) -> list[Order]:
        """Stop the layer that a task runs, or let go of the ranks that it holds between two."""
        if state.running is None:
            return self._release(state, state.held) if state.held else []
        halted, state.running.halted = state.running.halted, True
        return [] if halted else [Order(state.running.block, StopLayer())]

    def extend(self, plan: LayerPlan, graph: TaskGraph) -> None:
        """Go on with a plan and a graph of more tasks; what is known of the others stays."""
        self.tasks, self._plan, self._graph = states_of(plan, graph, self.tasks), plan, graph
        self._scheduler.extend(graph, plan)

    def stop(self, reason: str, now: float) -> list[Order]:
        """Stop all layers with checkpoints, and end the job then; nothing if that is under way."""
        if self.stopping or self._told_end:
            return []
        self._stop_reason = reason
        self._observer.record(events.JobStopping(reason=reason))
        return [Order(range(self._plan.ranks), StopTraining()), *self.go_on(now)]

    def go_on(self, now: float) -> list[Order]:
        """Start what can be started, and end the job if nothing is left."""
        orders: list[Order] = []
        if not self.stopping:
            age(self.tasks, now, seconds_a_class(self._plan.makespan))
            for state, block in self._scheduler.starts(self.tasks, now):
                orders += self._start(state, block, now)
        if self.ended and not self._told_end:
            self._told_end = True
            orders += [
                order for state in self.tasks.values() if state.held for order in self._release(state, state.held)
            ]
            orders.append(Order(range(self._plan.ranks), EndOfJob()))
        paused = waits_for_somebody(self.tasks)
        if paused and not self._told_wait and not self.stopping:
            self._observer.record(events.JobPaused(tasks=tuple(paused)))
        self._told_wait = bool(paused)
        return orders

    def _start(self, state: TaskState, block: range, now: float) -> list[Order]:
        orders: list[Order] = []
        opened = state.held != block
        for other in self.tasks.values():
            if other.held is not None and (opened if other is state else set(other.held) & set(block)):
                orders += self._release(other, other.held)
        state.held, state.place = None, block
        self._starts += 1
        state.running = Running(state.layers_done, block, now, now, opened, number=self._starts)
        where = (block.start, len(block), state.steps)
        more = (state.rate, owners(self.tasks, state), self._starts)
        command = RunLayer(state.plan.name, state.layers_done, state.plan.layers, *where, *more)
        self._observer.record(command.to_event())
        return [*orders, Order(block, command)]

    def _release(self, state: TaskState, block: range) -> list[Order]:
        state.held = None
        return [Order(block, Release(state.plan.name))]

    def _running(self) -> list[tuple[TaskState, Running]]:
        return [(state, state.running) for state in self.tasks.values() if state.running is not None]

"""Decides which layer runs next on which ranks. Pure: reports and the clock come in, commands go out.

Layers of ready tasks start in the order of `layerplan.plan.dispatch_key` as ranks come free; there is no barrier over
the world unless the plan asks for one. A task keeps its group (engine, network, optimizer state in memory) from layer
to layer unless a task that goes before it needs those ranks.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from hpcmtl.communicators.groups import Pool
from hpcmtl.dispatch.commands import (
    EndOfJob,
    LayerDone,
    LayerFailed,
    Progressed,
    Release,
    RunLayer,
    StopTraining,
    StopWanted,
)
from hpcmtl.layerplan.plan import dispatch_key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hpcmtl.dispatch.commands import Command, Report
    from hpcmtl.layerplan.plan import LayerPlan, PlannedTask
    from hpcmtl.results.progress import StepProgress
    from hpcmtl.results.summary import TaskStatus
    from hpcmtl.training.session import LayerOutcome

# A rank that failed alone leaves its group waiting in a collective; when the others have not reported by then, they are
# stuck, and only the end of the run gets them out.
GRACE_SECONDS = 3.0
# A layer that has said nothing for so long is named, with the ranks that have not reported; it may still be well.
LATE_SECONDS = 300.0


class Observer(Protocol):
    """Who wants to know what happens: the ledger and the display."""

    def record(self, event: str, **fields: Any) -> None:
        """Something that the ledger should hold."""
        ...

    def progressed(self, progress: StepProgress) -> None:
        """A running layer is so far."""
        ...


@dataclass(frozen=True)
class Order:
    """A command and the rank that it is for."""

    rank: int
    command: Command


class HopelessError(Exception):
    """A rank failed alone and its group is stuck: the run must be ended from outside."""


@dataclass
class Running:
    """A layer that is being run."""

    layer: int
    block: range
    started: float
    last_word: float
    late: bool = False
    reported: set[int] = field(default_factory=set)
    outcome: LayerOutcome | None = None
    failures: list[LayerFailed] = field(default_factory=list)
    deadline: float | None = None


@dataclass
class TaskState:
    """What is known of one task.

    Attributes:
        plan: its part of the plan.
        needs: tasks that must complete first.
        layers_done: finished layers.
        status: None until it has ended.
        held: ranks that keep its session while it does not run.
        running: the layer in work.
        outcomes: of the layers that were run, with their widths.
        message: why it did not complete.
    """

    plan: PlannedTask
    needs: tuple[str, ...]
    layers_done: int = 0
    status: TaskStatus | None = None
    held: range | None = None
    running: Running | None = None
    outcomes: list[tuple[int, LayerOutcome]] = field(default_factory=list)
    message: str = ""


class Dispatcher:
    """The state of a running job on rank 0."""

    def __init__(
        self,
        plan: LayerPlan,
        needs: Mapping[str, tuple[str, ...]],
        observer: Observer,
        finished_layers: Mapping[str, int] | None = None,
    ) -> None:
        """Take up a plan.

        Args:
            plan: who gets how many ranks, and in which order.
            needs: task -> tasks that must complete before it starts.
            observer: is told everything.
            finished_layers: task -> layers that an earlier attempt finished.
        """
        self.tasks = {task.name: TaskState(task, needs[task.name]) for task in plan.tasks}
        self._plan = plan
        self._observer = observer
        self._pool = Pool(plan.ranks)
        self._stop_reason = ""
        self._told_end = False
        for name, count in (finished_layers or {}).items():
            state = self.tasks[name]
            state.layers_done = count
            if count == state.plan.layers:
                state.status = "complete"

    @property
    def stopping(self) -> bool:
        """Whether no new layer is started any more."""
        return bool(self._stop_reason)

    @property
    def ended(self) -> bool:
        """Whether every task has ended, or every one that runs has stopped."""
        over = all(state.status is not None for state in self.tasks.values())
        return over or (self.stopping and not self._running())

    def start(self, now: float) -> list[Order]:
        """The first orders."""
        return self._next(now)

    def handle(self, report: Report, now: float) -> list[Order]:
        """Take in a report and give the orders that follow from it."""
        if isinstance(report, Progressed):
            running = self.tasks[report.progress.task].running
            if running is not None:
                running.last_word = now
            self._observer.progressed(report.progress)
            return []
        if isinstance(report, StopWanted):
            return self._stop(f"rank {report.rank} got {report.signal}", now)
        state = self.tasks[report.task]
        running = state.running
        assert running is not None, f"rank {report.rank} reports on {report.task}, which does not run"
        running.reported.add(report.rank)
        running.last_word = now
        if isinstance(report, LayerFailed):
            running.failures.append(report)
            running.deadline = running.deadline or now + GRACE_SECONDS
            self._observer.record(
                "rank_failed", task=report.task, layer=report.layer, rank=report.rank, message=report.message
            )
        elif isinstance(report, LayerDone) and report.outcome is not None:
            running.outcome = report.outcome
        return self._layer_over(state, running, now) if len(running.reported) == len(running.block) else []

    def check(self, now: float) -> None:
        """Look at the clock: name layers that are late, once.

        Raises:
            HopelessError: if the partners of a failed rank have not come back in time.
        """
        for state, running in self._running():
            if now - running.last_word > LATE_SECONDS and not running.late:
                running.late = True
                silent = sorted(set(running.block) - running.reported)
                self._observer.record("layer_late", task=state.plan.name, layer=running.layer, silent_ranks=silent)
            if running.deadline is not None and now > running.deadline:
                failure = running.failures[0]
                missing = sorted(set(running.block) - running.reported)
                raise HopelessError(
                    f"rank {failure.rank} failed alone in task {failure.task}, layer {failure.layer}: "
                    f"{failure.message}; "
                    f"rank{'s' if len(missing) > 1 else ''} {', '.join(map(str, missing))} cannot go on without it"
                )

    def _layer_over(self, state: TaskState, running: Running, now: float) -> list[Order]:
        name, width = state.plan.name, len(running.block)
        state.running, orders = None, []
        self._pool.give_back(running.block)
        if running.failures:
            orders += self._release(state, running.block)
            self._fail(state, running)
        else:
            assert running.outcome is not None, f"nobody said what came out of {name}, layer {running.layer}"
            outcome = running.outcome
            state.outcomes.append((width, outcome))
            state.held = running.block
            event = "layer_stopped" if outcome.stopped else "layer_ended"
            seconds = now - running.started
            self._observer.record(
                event, task=name, layer=running.layer, ranks=width, **{**outcome.told(), "seconds": seconds}
            )
            if not outcome.stopped:
                state.layers_done = running.layer + 1
            if outcome.stopped or self.stopping:  # a layer may have come to its end before it heard of the stop
                state.message = "stopped with a checkpoint"
            if state.layers_done == state.plan.layers:
                state.held = None  # its ranks close the session themselves after the last layer
                self._end(state, "complete")
        return [*orders, *self._next(now)]

    def _fail(self, state: TaskState, running: Running) -> None:
        failure = running.failures[0]
        state.held = None
        self._end(state, "failed", failure.message)
        for other in self.tasks.values():
            if other.status is None and other.running is None:
                cause = next((need for need in other.needs if self.tasks[need].status in {"failed", "skipped"}), None)
                if cause is not None:
                    fate = "failed" if self.tasks[cause].status == "failed" else "was skipped"
                    self._end(other, "skipped", f"needs {cause}, which {fate}")

    def _end(self, state: TaskState, status: TaskStatus, message: str = "") -> None:
        state.status, state.message = status, message
        self._observer.record("task_ended", task=state.plan.name, status=status, message=message)

    def _stop(self, reason: str, now: float) -> list[Order]:
        if self.stopping or self._told_end:
            return []
        self._stop_reason = reason
        self._observer.record("stopping", reason=reason)
        return [*(Order(rank, StopTraining()) for rank in range(self._plan.ranks)), *self._next(now)]

    def _next(self, now: float) -> list[Order]:
        """Start what can be started."""
        orders: list[Order] = []
        if not self.stopping:
            for state in self._ready():
                orders += self._start(state, now)
        if self.ended and not self._told_end:
            self._told_end = True
            orders += [
                order for state in self.tasks.values() if state.held for order in self._release(state, state.held)
            ]
            orders += [Order(rank, EndOfJob()) for rank in range(self._plan.ranks)]
        return orders

    def _ready(self) -> list[TaskState]:
        waiting = [s for s in self.tasks.values() if s.status is None and s.running is None]
        ready = [s for s in waiting if all(self.tasks[need].status == "complete" for need in s.needs)]
        if self._plan.barrier:
            wave = min((s.plan.wave for s in self.tasks.values() if s.status is None), default=0)
            ready = [state for state in ready if state.plan.wave == wave]
        return sorted(ready, key=lambda state: dispatch_key(state.plan))

    def _start(self, state: TaskState, now: float) -> list[Order]:
        block = self._block_for(state)
        if block is None:
            return []
        orders: list[Order] = []
        for other in self.tasks.values():
            overlaps = other.held is not None and set(other.held) & set(block)
            if other.held is not None and overlaps and (other is not state or other.held != block):
                orders += self._release(other, other.held)
        state.held = None
        state.running = Running(state.layers_done, block, now, now)
        command = RunLayer(state.plan.name, state.layers_done, state.plan.layers, block.start, len(block))
        self._observer.record(
            "layer_started",
            task=command.task,
            layer=command.layer,
            layers=command.layers,
            first_rank=command.first_rank,
            ranks=command.width,
        )
        return [*orders, *(Order(rank, command) for rank in block)]

    def _block_for(self, state: TaskState) -> range | None:
        """The ranks for the next layer: those that hold its session if they are free, else any free block."""
        width = state.plan.width
        if state.held is not None and len(state.held) == width and self._pool.take_exactly(state.held):
            return state.held
        return self._pool.take(width)

    def _release(self, state: TaskState, block: range) -> list[Order]:
        state.held = None
        return [Order(rank, Release(state.plan.name)) for rank in block]

    def _running(self) -> list[tuple[TaskState, Running]]:
        return [(state, state.running) for state in self.tasks.values() if state.running is not None]

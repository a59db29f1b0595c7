"""The end of tasks, and the release of the ranks that hold their sessions. Pure: changes states, returns orders."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcmtl.dispatch.coordinator.silence import stuck_failure
from hpcmtl.dispatch.coordinator.state import Order, without_producer
from hpcmtl.dispatch.protocol import Release, StopLayer
from hpcmtl.results.events import CheckpointWritten, RankStuck, TaskEnded

if TYPE_CHECKING:
    from collections.abc import Callable

    from hpcmtl.dispatch.coordinator.running import Running
    from hpcmtl.dispatch.coordinator.state import TaskState
    from hpcmtl.results.events import RunEvent
    from hpcmtl.results.outcome.summary import TaskStatus

MOST_LOSSES = 2
"""Number of losses of ranks, without a checkpoint in between, after which the layer that they ran is not tried again: a
task that crashes its process, or takes too much memory, would take rank after rank."""

_WHY_LOST = "the task may end its ranks itself (a crash, or too little memory); the logs of these ranks say more"


class TaskLifecycle:
    """The tasks of a job, and the steps that end them.

    Attributes:
        tasks: state of each task, producers first.
    """

    def __init__(self, tasks: dict[str, TaskState], record: Callable[[RunEvent], None]) -> None:
        """Takes the tasks of a job; `record` records an event for each end."""
        self.tasks, self._record = tasks, record
        self._incomplete = False  # whether a task ended otherwise than complete, so that others may wait for it in vain

    def noted(self, event: RunEvent, now: float) -> RunEvent:
        """Takes note of an event of a running layer, and returns it: after a checkpoint losses are counted from 0."""
        state = self.tasks.get(getattr(event, "task", ""))
        if state is not None and isinstance(event, CheckpointWritten):
            state.losses = 0
        if state is not None and state.running is not None:
            state.running.heard(now)
            if isinstance(event, RankStuck):
                state.running.places[event.rank] = event.place
        return event

    def end(self, state: TaskState, status: TaskStatus, message: str = "") -> list[Order]:
        """Ends a task that does not run and releases its ranks; if it is not complete, skips all tasks that need it."""
        orders = self.release(state)
        self._mark(state, status, message)
        self._incomplete = self._incomplete or status != "complete"
        return [*orders, *self.skip_hopeless()]

    def end_if_over(self, state: TaskState) -> list[Order]:
        """Ends a task that does not run if it is cancelled, all its layers are done, or one lost ranks too often."""
        if state.cancelled:
            return self.end(state, "cancelled", "was cancelled")
        if state.layers_done == state.plan.layers:
            return self.end(state, "complete")
        if state.losses < MOST_LOSSES:
            return []
        return self.end(state, "failed", f"layer {state.lost_layer} lost ranks {state.losses} times: {_WHY_LOST}")

    def fail_stuck(self, state: TaskState, running: Running) -> None:
        """Ends a task whose layer is stuck for good, since its ranks cannot be told to leave: the run ends as well."""
        if running.stuck:
            state.running = None
            self.end(state, "failed", stuck_failure(state, running).message)

    def skip_hopeless(self) -> list[Order]:
        """Ends the tasks that wait for one that did not complete; a task that ran beside it may hold a session."""
        orders: list[Order] = []
        for state, reason in without_producer(self.tasks) if self._incomplete else ():
            orders += self.release(state)
            self._mark(state, "skipped", reason)
        return orders

    def halt(self, state: TaskState) -> list[Order]:
        """Stops the layer that a task runs, or releases the ranks that it holds between two layers."""
        if state.running is None:
            return self.release(state)
        halted, state.running.halted = state.running.halted, True
        return [] if halted else [Order(state.running.group, StopLayer())]

    def release(self, state: TaskState) -> list[Order]:
        """Has the ranks that hold a task's session between layers close it; no order if there are none."""
        held, state.held = state.held, None
        return [] if held is None else [Order(held, Release(state.plan.name))]

    def _mark(self, state: TaskState, status: TaskStatus, message: str) -> None:
        state.status, state.message = status, message
        self._record(TaskEnded(task=state.plan.name, status=status, message=message))

"""Admits layers that can finish before the time limit of a batch job. Pure: the clock comes in.

Training can stop with a checkpoint at any step. The work of other tasks is kept only when their layer has ended. Such a
layer begins only if it is likely to end in time, if necessary on more ranks than planned. Otherwise it would run again
in the next attempt, and perhaps in every attempt.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hpcmtl.dispatch.coordinator.state import Scheduler, TaskState

# The time before the limit that is kept free for the stop: its maximum, and its largest part of the whole time.
RESERVE_SECONDS, RESERVE_SHARE = 30.0, 0.1
CAUTION = 1.25
"""Factor by which a layer may take longer than the last one of its task, or than planned."""


@dataclass(frozen=True)
class TimeLimit:
    """The time limit of an attempt.

    Attributes:
        begun: start of the attempt, in seconds.
        end: moment at which the batch system ends it, in seconds.
    """

    begun: float
    end: float

    @property
    def stop_at(self) -> float:
        """Moment at which the job stops by itself, in seconds."""
        return self.end - min(RESERVE_SECONDS, RESERVE_SHARE * (self.end - self.begun))


class DeadlineScheduler:
    """A `Scheduler` that starts no layer which could not end in time; what starts is chosen by another one."""

    def __init__(self, scheduler: Scheduler, limit: TimeLimit) -> None:
        self._scheduler, self._limit = scheduler, limit
        self.extend, self.widen, self.layer_ended = scheduler.extend, scheduler.widen, scheduler.layer_ended

    def starts(self, tasks: Mapping[str, TaskState], now: float) -> Iterable[tuple[TaskState, range]]:
        """See `Scheduler`."""
        self._hold_back(tasks, now)
        return self._scheduler.starts(tasks, now)

    def _hold_back(self, tasks: Mapping[str, TaskState], now: float) -> None:
        """Marks the tasks whose next layer could not end in time."""
        left = self._limit.stop_at - now
        for state in tasks.values():
            more = state.status is None and state.layers_done + (state.running is not None) < state.plan.layers
            state.no_time = more and not state.plan.facts.stops_at_steps and not self._can_end(state, left)

    def _can_end(self, state: TaskState, left: float) -> bool:
        width, seconds = _of_last_layer(state)
        if CAUTION * seconds <= left:
            return True
        return left > 0 and self._scheduler.widen(state, width, left / (CAUTION * seconds))


def hopeless(tasks: Mapping[str, TaskState]) -> list[str]:
    """Returns the tasks whose next layer cannot end in time, if no layer runs and no other task can start; else none.

    Args:
        tasks: all tasks of the job, as the scheduler left them.
    """
    late = [name for name, state in tasks.items() if state.no_time and state.status is None]
    return [] if any(state.running for state in tasks.values()) or _others(tasks) else late


def _of_last_layer(state: TaskState) -> tuple[int, float]:
    """Returns ranks and seconds of the last whole layer of a task, or the planned ones."""
    whole = [(width, outcome.seconds) for width, outcome in state.outcomes if not outcome.stopped]
    plan = state.plan
    return whole[-1] if whole else (plan.width, (plan.end - plan.start) / plan.layers)


def _others(tasks: Mapping[str, TaskState]) -> bool:
    """Returns whether a task is left that could start, now or when others have ended."""
    return any(state.status is None and not _waits_for_late(tasks, name) for name, state in tasks.items())


def _waits_for_late(tasks: Mapping[str, TaskState], name: str) -> bool:
    state = tasks[name]
    return state.no_time or any(tasks[need].status is None and _waits_for_late(tasks, need) for need in state.needs)

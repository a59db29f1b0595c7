"""Ageing: a ready task that waits behind tasks of higher priority gains priority classes, so that no task starves.

It rises until it is one class above the highest that is left. Then its next layer comes before all others, and with
that layer it starts again at its own class. Where all tasks are of one class nothing ages: the order inside a class is
the planner's, and the time that a task has waited says nothing about it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcmtl.dispatch.coordinator.state import held_back, ready

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hpcmtl.dispatch.coordinator.state import TaskState

SHORTEST_SECONDS = 60.0
"""Shortest time of waiting for one class, in seconds."""

PART_OF_MAKESPAN = 0.1
"""Time of waiting for one class, as a part of the planned makespan."""


def seconds_a_class(makespan: float) -> float:
    """Returns the seconds that a task waits for one class: a tenth of the planned makespan, but a minute at least."""
    return max(SHORTEST_SECONDS, PART_OF_MAKESPAN * makespan)


def age(tasks: Mapping[str, TaskState], now: float, seconds: float) -> None:
    """Updates the waiting time of all tasks, and the classes that they have gained by it.

    Args:
        tasks: all tasks of the job.
        now: seconds.
        seconds: time of waiting for one class.
    """
    back = held_back(tasks)
    left = [state.plan.job_priority for name, state in tasks.items() if state.status is None and name not in back]
    top = max(left, default=0)
    for state in tasks.values():
        state.aged = 0
        if not ready(tasks, state, now):
            state.waits_since = None
            continue
        if state.waits_since is None:
            state.waits_since = now
        if state.plan.job_priority < top:
            state.aged = min(int((now - state.waits_since) / seconds), top + 1 - state.plan.job_priority)

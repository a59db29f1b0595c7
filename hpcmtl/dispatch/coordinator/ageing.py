"""Nothing starves: a task that is ready and waits behind tasks of higher priority gains a class every so often.

It rises until it is one class above the highest that is left, so that its next layer comes before all others; with that
layer it begins again. Where all tasks are of one class nobody waits behind another class, and nothing ages: the order
inside a class is the planner's, and time spent waiting says nothing about it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcmtl.dispatch.coordinator.state import held_back, ready

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hpcmtl.dispatch.coordinator.state import TaskState

SHORTEST_SECONDS = 60.0
PART_OF_MAKESPAN = 0.1


def seconds_a_class(makespan: float) -> float:
    """How long a task waits for one class: a tenth of the planned makespan, but a minute at least."""
    return max(SHORTEST_SECONDS, PART_OF_MAKESPAN * makespan)


def age(tasks: Mapping[str, TaskState], now: float, seconds: float) -> None:
    """Note who waits, and the classes gained by it.

    Args:
        tasks: all of the job.
        now: seconds.
        seconds: of waiting for one class.
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

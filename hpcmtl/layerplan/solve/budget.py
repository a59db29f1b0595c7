"""The work that may be spent on a plan: a small part of the time that the plan itself takes.

Work is counted in visits of an interval of time while packing (`Occupancy.work`), never by a clock, so that the same
problem gives the same plan in every call.
"""

from __future__ import annotations

SHARE = 0.02  # of the predicted makespan
LEAST_SECONDS, MOST_SECONDS = 0.3, 5.0
WORK_A_SECOND = 2e7  # measured with CPython 3.11 on a core of a shared virtual machine; 1.2e7 where it is busy


def first_plan_work(makespan: float) -> float:
    """Returns the work for the first plan of a job with a predicted makespan in seconds."""
    return WORK_A_SECOND * min(max(SHARE * makespan, LEAST_SECONDS), MOST_SECONDS)

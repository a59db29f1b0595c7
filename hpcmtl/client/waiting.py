"""The wait for the end of a run."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from hpcmtl.pipeline.live.watch import poll_by

if TYPE_CHECKING:
    from hpcmtl.client.access import RunAccess

SECONDS_BETWEEN_LOOKS = 0.5


def wait_for_end(access: RunAccess, timeout: float | None) -> str:
    """Returns the state of a run at its end.

    Args:
        access: way to the run.
        timeout: largest number of seconds to wait; None for no limit.

    Raises:
        TimeoutError: the run has not ended in time.
    """
    end = None if timeout is None else time.monotonic() + timeout
    state = ""
    for found in poll_by(lambda: dict(access.diagnosis()), SECONDS_BETWEEN_LOOKS):
        state = str(found["state"])
        if found["over"] and found["sure"]:
            break
        if end is not None and time.monotonic() >= end:
            raise TimeoutError(f"{access.place}: the run has not ended after {timeout:g} s: it is {state}")
    return state

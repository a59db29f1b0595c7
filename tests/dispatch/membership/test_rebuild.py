"""The time in which the survivors of a loss must come together."""

import math
import threading
from types import SimpleNamespace

import pytest

from hpcmtl.dispatch.membership.rebuild import SECONDS_AFTER_A_KILL, bounded


@pytest.mark.parametrize(
    ("patience", "seconds"),
    [(20.0, [20.0, 20.0 + SECONDS_AFTER_A_KILL]), (90.0, [90.0, 90.0 + SECONDS_AFTER_A_KILL]), (math.inf, [])],
)
def test_a_rebuild_is_bounded(patience, seconds):
    """Stopped ranks are killed when the patience is over and the run ends half a minute later, unless all came."""
    before = set(threading.enumerate())
    with bounded(SimpleNamespace(), patience):
        timers = [each for each in threading.enumerate() if each not in before and isinstance(each, threading.Timer)]

    assert sorted(timer.interval for timer in timers) == seconds
    assert all(timer.finished.is_set() for timer in timers)

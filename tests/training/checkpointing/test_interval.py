"""The interval between checkpoints loses the least time, and never too much of it."""

import math

from hypothesis import given
from hypothesis import strategies as st

from hpcmtl.training.checkpointing.interval import LARGEST_SHARE, best_interval


def lost(interval, cost, mtbf):
    """Part of the time that is lost, by Daly's model of failures at random moments (eq. 20): restarts cost nothing."""
    return mtbf * (math.exp((interval + cost) / mtbf) - 1) / interval - 1


@given(st.floats(1e-4, 60), st.floats(600, 1e6))
def test_no_other_interval_loses_less(cost, mtbf):
    """A tenth of the interval more or less loses as much or more, and so does Young's first-order choice."""
    best = best_interval(cost, mtbf)
    least = lost(best, cost, mtbf)

    if best > cost / LARGEST_SHARE:
        for other in (0.8 * best, 1.25 * best, math.sqrt(2 * cost * mtbf)):
            assert least <= lost(other, cost, mtbf) * (1 + 1e-3)


@given(st.floats(1e-4, 1e5), st.floats(1, 1e6))
def test_checkpoints_never_take_more_than_their_share(cost, mtbf):
    """However often jobs are cut off, three hundredths of the time are enough for checkpoints."""
    assert cost / best_interval(cost, mtbf) <= LARGEST_SHARE * (1 + 1e-9)

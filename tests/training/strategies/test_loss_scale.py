"""The loss scale halves, doubles and stays within its bounds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hpcmtl.training.strategies.loss_scale import GROWTH_INTERVAL, LossScale


@given(st.lists(st.booleans(), max_size=60), st.integers(-14, 24))
def test_the_scale_follows_overflows(steps, exponent):
    """Halved by each overflow, a power of two within its bounds, and good steps are counted since the last change."""
    scale = LossScale(2.0**exponent)
    for finite in steps:
        before = scale
        scale = scale.after(finite)

        assert scale.value == (before.value if finite else max(before.value / 2, 2.0**-14))
        assert scale.good_steps == (before.good_steps + 1 if finite else 0)


def test_the_scale_grows_after_many_good_steps():
    """It doubles after a thousand of them, and no further than its bound."""
    almost = LossScale(8.0, GROWTH_INTERVAL - 1)
    at_bound = LossScale(2.0**24, GROWTH_INTERVAL - 1)

    assert almost.after(finite=True) == LossScale(16.0, 0)
    assert at_bound.after(finite=True) == LossScale(2.0**24, 0)

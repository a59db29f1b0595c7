"""Statistics of a column against numpy on the whole array."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hpcmtl.data.sealing.moments import Moments

NUMBERS = st.floats(-1e6, 1e6, width=64)


@given(arrays(np.float64, st.integers(1, 60), elements=NUMBERS), st.lists(st.integers(0, 60), max_size=4))
def test_merged_moments_are_those_of_the_whole(values, cuts):
    """Blocks of any lengths, empty ones included, give numpy's mean, deviation and extremes of all values."""
    moments = Moments()
    for part in np.split(values, sorted(min(cut, len(values)) for cut in cuts)):
        moments = moments.merged(part)

    assert moments.count == len(values)
    assert np.isclose(moments.mean, values.mean(), rtol=1e-9, atol=1e-9)
    assert (moments.low, moments.high) == (values.min(), values.max())
    if values.std() > 1e-6:
        assert np.isclose(moments.deviation, values.std(), rtol=1e-7)


def test_a_constant_column_is_divided_by_one():
    """The deviation of equal values is 1, also where rounding leaves some difference."""
    assert Moments().merged(np.full(1000, 0.1)).merged(np.full(999, 0.1)).deviation == 1.0
    assert Moments().deviation == 1.0


def test_a_large_offset_does_not_spoil_the_deviation():
    """The sum of squares is taken around the mean, so that values far from 0 keep their digits."""
    values = 1e9 + np.arange(1000.0)
    moments = Moments()
    for part in np.split(values, 10):
        moments = moments.merged(part)

    assert np.isclose(moments.deviation, values.std(), rtol=1e-9)

"""Plots of Unicode characters."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcmtl.results.curves.plot import plotted

BLANK = "\u2800"


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=40), st.integers(1, 30), st.integers(1, 6))
def test_a_plot_fits_its_size(ys, width, height):
    """Whatever the values, a plot has the lines and columns asked for; without a finite value it is empty."""
    lines = plotted(range(len(ys)), ys, width, height)

    assert [len(line) for line in lines] == [width] * height
    assert (set("".join(lines)) == {BLANK}) == (not any(map(math.isfinite, ys)))


def test_a_falling_line():
    """The first value is at the upper left, the last one at the lower right, and a line joins them."""
    first, last = plotted([0, 1], [5.0, 1.0], 4, 2)

    assert (first, last) == ("⠑⢄⠀⠀", "⠀⠀⠑⢄")


@pytest.mark.parametrize(("ys", "expected"), [([1.0], "⠀⠂⠀"), ([2.0, 2.0, 2.0], "⠒⠒⠒")])
def test_equal_values_are_in_the_middle(ys, expected):
    """One value, or equal values, lie in the middle of the plot."""
    assert plotted(range(len(ys)), ys, 3, 1) == [expected]

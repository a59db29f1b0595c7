"""Tests of hpcmtl.data.cursor."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hpcmtl.data.cursor import Cursor


def test_advance_enters_the_next_epoch_after_the_last_step():
    """With 4 steps an epoch, step 3 is followed by step 0."""
    assert Cursor(1, 0, 7) == Cursor(0, 3, 7).advance(4)


@given(st.integers(1, 50), st.integers(0, 200), st.integers(0, 200))
def test_many_steps_at_once_are_many_steps(steps_per_epoch, first, second):
    """Advancing in two goes ends where one go ends, at the global step that it should."""
    start = Cursor(0, 0, 7)
    end = start.advance(steps_per_epoch, first).advance(steps_per_epoch, second)

    assert end == start.advance(steps_per_epoch, first + second)
    assert end.epoch * steps_per_epoch + end.step == first + second

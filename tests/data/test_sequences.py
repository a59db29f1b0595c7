"""Samples of different lengths in memory: what belongs together is kept, and what does not is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcmtl.data import sequences_of
from hpcmtl.data.sequences import Sequences, joined, offsets_problem

LISTS = st.lists(st.lists(st.integers(-9, 9), max_size=6), min_size=1, max_size=9)


@given(LISTS)
def test_samples_come_back(samples):
    """Each sample is a slice of the values, and the padded array has it at its beginning and 0 behind it."""
    made = sequences_of(samples)
    rows = made.padded()

    assert made.lengths.tolist() == [len(each) for each in samples]
    assert made.shape == rows.shape == (len(samples), max(map(len, samples)))
    for number, each in enumerate(samples):
        assert made.part(number, number + 1).values.tolist() == each
        assert rows[number].tolist() == each + [0] * (rows.shape[1] - len(each))


@given(LISTS, st.integers(0, 9))
def test_parts_are_joined(samples, cut):
    """The parts before and after a sample make the whole."""
    whole = sequences_of(samples)
    cut = min(cut, len(samples))
    again = joined([whole.part(0, cut), whole.part(cut, len(samples))])

    assert again.values.tolist() == whole.values.tolist()
    assert again.offsets.tolist() == whole.offsets.tolist()


def test_values_of_any_shape():
    """Values may be vectors; samples of other vectors, and what is no array, are refused by their number."""
    made = sequences_of([np.ones((2, 3)), np.zeros((1, 3))])

    assert made.shape == (2, 2, 3)
    with pytest.raises(ValueError, match=r"sample 1 has values of shape \(4,\), others of shape \(3,\)"):
        sequences_of([np.ones((2, 3)), np.zeros((1, 4))])
    with pytest.raises(ValueError, match="sample 0 is"):
        sequences_of(["text"])


@pytest.mark.parametrize(
    ("offsets", "said"),
    [
        ([1, 3], "the first offset is 1"),
        ([0, 2, 1, 3], "the offset after sample 1 is 1, less than the one before it, 2"),
        ([0, 2], "the last offset is 2, but there are 3 values"),
        ([0.0, 3.0], "offsets of type float64"),
        ([], "offsets of type"),
    ],
)
def test_offsets_that_do_not_belong_to_the_values(offsets, said):
    """Offsets begin with 0, never fall, and end with the number of values."""
    assert said in offsets_problem(np.array(offsets), 3)
    with pytest.raises(ValueError, match=said):
        Sequences(np.arange(3), np.array(offsets))

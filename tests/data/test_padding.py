"""Padding of batches to a few lengths."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hpcmtl.data.padding import default_buckets, make_padding

LENGTHS = st.lists(st.integers(0, 40), min_size=1, max_size=30).map(np.array)


@given(LENGTHS, st.lists(st.integers(1, 50), max_size=4), st.data())
def test_the_smallest_bucket_that_holds_the_batch(lengths, buckets, data):
    """A batch is padded to the smallest bucket, or the longest sample of all, that holds all its samples."""
    padding = make_padding(lengths, buckets)
    batch = np.array(data.draw(st.lists(st.integers(0, len(lengths) - 1), min_size=1)))
    width, longest = padding.width(batch), max(lengths.max(), 1)

    assert width in {*buckets, longest}
    assert lengths[batch].max() <= width <= longest
    assert not any(lengths[batch].max() <= each < width for each in buckets)


@given(LENGTHS)
def test_default_buckets(lengths):
    """There are at most three, each the length of a sample, and half of the samples fit the first."""
    buckets = default_buckets(lengths)

    assert 1 <= len(buckets) <= 3
    assert {*buckets} <= {*np.maximum(lengths, 1)}
    assert (lengths <= buckets[0]).mean() >= 0.5


def test_rows_are_shortened():
    """Rows are as long as the bucket of their batch, and 0 behind the end of a sample in spite of transforms."""
    padding = make_padding(np.array([1, 3, 7]), [4])
    rows = np.arange(1, 15).reshape(2, 7)
    shortened = padding.shortened(rows, np.array([0, 1]), np.array([0, 1]))

    assert shortened.tolist() == [[1, 0, 0, 0], [8, 9, 10, 0]]
    assert padding.shortened(rows, np.array([0, 1]), np.array([0, 1, 2])).shape == (2, 7)

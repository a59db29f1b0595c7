"""Tests of hpcmtl.data.shard; its fit with batches is tested in test_blocks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcmtl.data.shard import shard


@given(st.integers(0, 200), st.integers(1, 20))
def test_sizes_differ_by_at_most_one(samples, group_size):
    """No rank has two samples more than another."""
    sizes = [len(shard(np.arange(samples), rank, group_size)) for rank in range(group_size)]

    assert sum(sizes) == samples
    assert max(sizes) - min(sizes) <= 1


def test_a_rank_outside_of_the_group_is_refused():
    """Rank 2 of a group of 2 is a mistake of the caller, not an empty share."""
    with pytest.raises(ValueError, match="rank 2 is not in a group of 2"):
        shard(np.arange(4), 2, 2)

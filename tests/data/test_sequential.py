"""Tests of hpcmtl.data.sequential."""

from __future__ import annotations

import numpy as np
import pytest

from hpcmtl.data.sequential import sequential_batches
from hpcmtl.data.sources import Source


@pytest.mark.parametrize("group_size", [1, 3, 8, 20])
@pytest.mark.parametrize("splits", [["train", "val", "test"], ["test"]])
def test_every_sample_once_in_stored_order(wide_file, group_size, splits):
    """The shares of the ranks follow each other and make up the splits, whatever the group; a share may be empty."""
    numbers, labels = [], []
    for rank in range(group_size):
        with sequential_batches([Source("y", wide_file, "label")], splits, 16, rank, group_size) as batches:
            for indices, arrays in batches:
                assert 0 < len(indices) <= 16
                numbers += indices.tolist()
                labels += arrays["y"].tolist()
    expected = [n for n in range(75) if len(splits) == 3 or (n % 5 == 4 and n % 2 == 0)]

    assert numbers == expected
    assert labels == [n % 3 for n in expected]


def test_rows_of_several_sources(wide_file):
    """Sources are delivered side by side."""
    sources = [Source("x", wide_file, "wide"), Source("w", wide_file, "weight")]
    with sequential_batches(sources, ["val"], 100, 0, 1) as batches:
        ((indices, arrays),) = batches

    assert np.array_equal(arrays["x"][:, 0, 0], indices)
    np.testing.assert_allclose(arrays["w"], indices / 10, rtol=1e-6)

"""Tests of hpcmtl.data.split_rows, compared with h5py's rows."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from hpcmtl.data.shared_memory import SharedSegment
from hpcmtl.data.sources import Source, open_sources
from hpcmtl.data.split_rows import layout_of, read_rows

KEYS = ("wide", "label", "weight")


@pytest.mark.parametrize("parts", [1, 3, 100])
def test_parts_are_the_whole(wide_file, parts):
    """Any number of parts, read one after the other into a segment, hold the rows of the split."""
    numbers = np.flatnonzero(np.arange(75) % 5 != 4)
    with open_sources([Source(key, wide_file, key) for key in KEYS]) as readers:
        layout = layout_of(readers, len(numbers))
        segment = SharedSegment.create(layout.size)
        rows = layout.arrays(segment)
        for part in range(parts):
            read_rows(readers, numbers, rows, slice(60 * part // parts, 60 * (part + 1) // parts))

    assert layout.block == 4
    with h5py.File(wide_file) as file:
        assert np.array_equal(file["wide"][()][numbers], rows["wide"])
        assert np.array_equal(file["label"][()][numbers], rows["label"])
        assert np.array_equal(file["weight"][()][numbers].astype(np.float32), rows["weight"])

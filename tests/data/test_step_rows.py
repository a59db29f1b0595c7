"""Tests of hpcmtl.data.step_rows: batches of files of several windows, compared with h5py's rows."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from hpcmtl.data.batches import Batches, BatchSpec
from hpcmtl.data.cursor import Cursor
from hpcmtl.data.hdf5 import write_dataset_file
from hpcmtl.data.sources import Source

KEYS = ("plain", "double", "scaled", "label")


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """70 samples in three windows; the first array alone has chunks of two samples, so a window has 32 of them."""
    path = tmp_path_factory.mktemp("step_rows") / "rows.h5"
    rng = np.random.default_rng(0)
    arrays = {
        "plain": rng.random((70, 128, 1024), dtype=np.float32),
        "double": rng.random((70, 3)),
        "scaled": rng.integers(0, 255, (70, 5), dtype=np.uint8),
        "label": np.arange(70),
    }
    write_dataset_file(path, arrays, (np.arange(70) % 7 == 6).astype(np.uint8), {"scaled": {"scale": 1 / 255}})
    return path


@pytest.mark.parametrize(("rank", "ranks"), [(0, 1), (1, 3)])
def test_rows_of_windows_are_those_of_the_file(file, rank, ranks):
    """Rows of steps that cross windows equal h5py's in any type, also after all later blocks were read."""
    spec = BatchSpec(tuple(Source(key, file, key) for key in KEYS), 9, memory_budget=0)
    with Batches(spec, Cursor(0, 2, 5), Cursor(2, 3, 5), rank, ranks) as batches:
        kept = list(batches)

    with h5py.File(file) as stored:
        whole = {key: stored[key][()] for key in KEYS}
    for batch in kept:
        assert np.array_equal(whole["plain"][batch.indices], batch.arrays["plain"])
        assert np.array_equal(whole["double"][batch.indices].astype(np.float32), batch.arrays["double"])
        assert np.array_equal(whole["scaled"][batch.indices] * np.float32(1 / 255), batch.arrays["scaled"])
        assert np.array_equal(batch.indices, batch.arrays["label"])


def test_large_samples_are_read_step_by_step(tmp_path):
    """Samples of 2 MiB come in the same order as from memory."""
    values = np.arange(40, dtype=np.float32)
    path = tmp_path / "large.h5"
    write_dataset_file(path, {"x": np.broadcast_to(values[:, None], (40, 1 << 19))}, np.zeros(40, np.uint8))
    numbers = []
    for budget in (0, 1 << 30):
        spec = BatchSpec((Source("x", path, "x"),), 3, memory_budget=budget)
        with Batches(spec, Cursor(0, 0, 1), Cursor(1, 0, 1), 0, 1) as batches:
            found = [(batch.indices, batch.arrays["x"][:, -1]) for batch in batches]
        numbers.append(np.concatenate([each for each, _ in found]))

        assert np.array_equal(numbers[-1], np.concatenate([each for _, each in found]))

    assert np.array_equal(*numbers)

"""The replacement for a file in memory gives the file's values, in the same blocks."""

from __future__ import annotations

import numpy as np
import pytest

from hpcmtl.data.batches import Batches, BatchSpec
from hpcmtl.data.cursor import Cursor
from hpcmtl.data.hdf5 import describe, write_dataset_file
from hpcmtl.data.in_memory_file import InMemoryFile
from hpcmtl.data.reader import open_array
from hpcmtl.data.sequential import sequential_batches
from hpcmtl.data.sources import Source, check_sources, selected
from hpcmtl.errors import InputError

SAMPLES = 5000


@pytest.fixture
def pair(tmp_path):
    """A file, and the same in memory."""
    generator = np.random.default_rng(2)
    arrays = {
        "wide": generator.normal(size=(SAMPLES, 300)).astype(np.float32),  # several blocks
        "double": generator.normal(size=SAMPLES),
        "label": generator.integers(0, 3, SAMPLES),
    }
    split = (np.arange(SAMPLES) % 5 // 3).astype(np.uint8)
    path = tmp_path / "made.h5"
    write_dataset_file(path, arrays, split)
    return path, InMemoryFile(path, arrays, split)


def test_description_and_readers_agree(pair):
    """Names, shapes, dtypes and sizes of splits, blocks and values are those of the file."""
    path, in_memory = pair

    assert in_memory.description() == describe(path)
    for name in in_memory.arrays:
        with open_array(path, name) as reader:
            other = in_memory.reader(name)
            for fact in ("samples", "shape", "dtype", "sample_bytes", "block"):
                assert getattr(other, fact) == getattr(reader, fact)
            assert other.read(17, 99).tobytes() == reader.read(17, 99).tobytes()
            assert other.read(17, 99).dtype == reader.dtype


@pytest.mark.parametrize("budget", [1 << 30, 1000])
def test_batches_agree(pair, budget):
    """A training gets the same samples in the same order, whether they are kept in memory again or read by blocks."""
    path, in_memory = pair
    runs = []
    for each in (None, in_memory):
        sources = (Source("input", path, "wide", each), Source("target", path, "label", each))
        spec = BatchSpec(sources, 64, sample_weights=Source("w", path, "double", each), memory_budget=budget)
        with Batches(spec, Cursor(0, 0, 3), Cursor(2, 0, 3), 1, 2) as batches:
            runs.append([(b.indices.tobytes(), b.weights.tobytes(), b.arrays["input"].tobytes()) for b in batches])

    assert runs[0] == runs[1]


def test_sequences_agree_with_the_rows_of_a_share(pair):
    """A rank that has only its own share in memory reads that, and nothing else."""
    path, in_memory = pair
    numbers = selected([Source("input", path, "wide")], ["val"])
    mine = numbers[len(numbers) // 2 :]
    part = np.full_like(in_memory.arrays["wide"], np.nan)
    part[mine[0] : mine[-1] + 1] = in_memory.arrays["wide"][mine[0] : mine[-1] + 1]
    runs = []
    for each in (None, InMemoryFile(path, {"wide": part}, in_memory.split)):
        with sequential_batches([Source("input", path, "wide", each)], ["val"], 50, 1, 2) as batches:
            runs.append([(n.tolist(), arrays["input"].tobytes()) for n, arrays in batches])

    assert runs[0] == runs[1]


def test_files_and_memory_are_checked_against_each_other(pair, tmp_path):
    """Another split, or a dataset that is not there, is refused as it is for files."""
    path, in_memory = pair
    other = tmp_path / "other.h5"
    write_dataset_file(other, {"y": np.ones(SAMPLES)}, np.zeros(SAMPLES, np.uint8))

    with pytest.raises(InputError, match="other.h5: split: differs from that of"):
        check_sources([Source("input", path, "wide", in_memory), Source("target", other, "y")])
    with pytest.raises(InputError, match="no such dataset"):
        check_sources([Source("input", path, "wode", in_memory)])

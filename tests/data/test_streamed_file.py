"""Sealed files from blocks of rows: the same as from whole arrays, and the same refusals."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hpcmtl.data.fingerprint import fingerprint_of
from hpcmtl.data.hdf5 import describe, write_dataset_file
from hpcmtl.data.sealing.encoder import OutputArray
from hpcmtl.data.streamed_file import write_blocks
from hpcmtl.data.values import check_finite
from hpcmtl.errors import InputError

ROWS = 50
WIDE = np.arange(ROWS * 50_000, dtype=np.float32).reshape(ROWS, 50_000)  # five rows in a chunk
LABEL = np.arange(ROWS) % 3
SPLIT = (np.arange(ROWS) % 3).astype(np.uint8)
PLANNED = {
    "wide": OutputArray(shape=(50_000,), dtype=np.dtype(np.float32), attributes={"units": "m"}),
    "label": OutputArray(shape=(), dtype=np.dtype(np.int64), attributes={"classes": ("a", "b", "c")}),
}


def blocks_of(cuts, label=LABEL):
    """Yields the rows in blocks that end at the cuts."""
    ends = sorted({*cuts, ROWS})
    for start, stop in zip([0, *ends], ends, strict=False):
        yield {"wide": WIDE[start:stop], "label": label[start:stop]}


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.sets(st.integers(1, ROWS), max_size=8))
def test_blocks_make_the_file_of_whole_arrays(tmp_path, cuts):
    """Blocks of any lengths give the checksums, types and attributes that whole arrays give."""
    write_blocks(tmp_path / "a.h5", PLANNED, SPLIT, blocks_of(cuts), {"source": "me"}, overwrite=True)
    attributes = {"wide": {"units": "m"}, "label": {"classes": ["a", "b", "c"]}}
    write_dataset_file(tmp_path / "b.h5", {"wide": WIDE, "label": LABEL}, SPLIT, attributes, overwrite=True)
    check_finite(tmp_path / "a.h5", ["wide", "label", "split"])

    assert fingerprint_of(tmp_path / "a.h5").arrays == fingerprint_of(tmp_path / "b.h5").arrays
    assert describe(tmp_path / "a.h5").split_sizes == describe(tmp_path / "b.h5").split_sizes


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        ([*blocks_of([7])][:1], "7 samples came, 50 were announced"),
        ([*blocks_of([7], LABEL + 1)], "label: sample 2 has label 3; 3 classes are named"),
        ([{"wide": np.where(WIDE == 7, np.nan, WIDE), "label": LABEL}], "wide: sample 0 holds NaN"),
    ],
)
def test_wrong_values_are_refused(tmp_path, blocks, message):
    """Too few rows, labels of no class and NaN are refused, and nothing is left."""
    with pytest.raises(InputError) as refused:
        write_blocks(tmp_path / "a.h5", PLANNED, SPLIT, blocks, {})

    assert message in str(refused.value)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_file_is_kept(tmp_path):
    """A file that exists is refused before a block is asked for."""
    (tmp_path / "a.h5").touch()

    with pytest.raises(InputError, match="exists already"):
        write_blocks(tmp_path / "a.h5", PLANNED, SPLIT, iter(()), {})

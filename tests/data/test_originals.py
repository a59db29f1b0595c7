"""Rows over many originals, and who they are."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from plain_files import adopted, write_plain

from hpcmtl.data.originals import Original, OriginalRows
from hpcmtl.data.reader import open_array
from hpcmtl.errors import InputError


def test_many_shards_are_read_with_few_files_open(tmp_path):
    """Forty shards are read in any order, with a bounded number of open files."""
    whole = np.arange(400, dtype=np.int32).reshape(200, 2)
    for number in range(40):
        write_plain(tmp_path / f"s{number}.h5", {"x": whole[number * 5 : number * 5 + 5]})
    out = adopted(tmp_path / "out.h5", tmp_path / "s*.h5", "x")
    with open_array(out, "x") as reader:
        rows = reader.read(3, 198)
        opened = h5py.h5f.get_obj_count(h5py.h5f.OBJ_ALL, h5py.h5f.OBJ_FILE)

    assert np.array_equal(rows, whole[3:198])
    assert opened <= 10
    assert h5py.h5f.get_obj_count(h5py.h5f.OBJ_ALL, h5py.h5f.OBJ_FILE) == 0


def test_an_original_of_another_shape(tmp_path):
    """A file of the same size whose dataset has another shape is refused, with both shapes."""
    path = write_plain(tmp_path / "p.h5", {"x": np.zeros((6, 2), np.float32)})
    state = path.stat()
    original = Original(path=path, size=state.st_size, modified=state.st_mtime_ns, rows=4)
    rows = OriginalRows([original], "x", (4, 3), np.dtype(np.float32))

    with pytest.raises(
        InputError, match=r"x: has the shape \(6, 2\), and had \(4, 3\) when adopted; put the file back"
    ):
        rows.read(0, 1)

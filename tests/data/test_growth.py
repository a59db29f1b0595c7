"""Tests of hpcmtl.data.growth: the rows of an earlier run are told by their checksums."""

from __future__ import annotations

import numpy as np
import pytest

from hpcmtl.data.fingerprint import fingerprint_of, fingerprints_of, fingerprints_to_json, read_fingerprints
from hpcmtl.data.growth import rows_before
from hpcmtl.data.hdf5 import write_dataset_file
from hpcmtl.data.sequences import sequences_of
from hpcmtl.results.rundir.directory import write_json_atomically

ROWS = 700_000  # more than one block of `x`


@pytest.fixture
def write(tmp_path):
    """Write the first rows of an array, with changes."""

    def make(name, rows, change=lambda *_given: None):
        x, split = np.arange(rows, dtype=np.int16), (np.arange(rows) % 3).astype(np.uint8)
        arrays = {"x": x, "y": np.stack([x, x], axis=1)}
        change(arrays, split)
        write_dataset_file(tmp_path / name, arrays, split, overwrite=True)
        return tmp_path / name

    return make


def test_rows_that_were_added(write):
    """Files of earlier runs are found whatever their names; the one with the most rows counts."""
    earlier = [fingerprint_of(write(f"{rows}.h5", rows)) for rows in (10, ROWS, 300)]

    assert rows_before(write("new.h5", ROWS + 5), ["x", "y"], earlier) == ROWS
    assert rows_before(write("same.h5", 300), ["y"], earlier) == 300
    assert rows_before(write("short.h5", 9), ["x"], earlier) is None
    assert rows_before(write("new2.h5", 20), ["z"], earlier) is None


def _other_value(arrays, _split):
    arrays["x"][299] += 1


def _other_split(_arrays, split):
    split[0] = 2


def _other_type(arrays, _split):
    arrays["x"] = arrays["x"].astype(np.int32)


def _other_shape(arrays, _split):
    arrays["x"] = arrays["x"][:, None]


@pytest.mark.parametrize("change", [_other_value, _other_split, _other_type, _other_shape])
def test_rows_that_are_no_longer_the_same(write, change):
    """A changed value, split, type or shape of an earlier row is found."""
    earlier = [fingerprint_of(write("old.h5", 300))]

    assert rows_before(write("new.h5", 400, change), ["x"], earlier) is None


def test_sequences_that_were_added(write):
    """Old samples of different lengths are told, also where a new one is longer than all of them."""

    def sequences(rows, changed=-1):
        def change(arrays, _split):
            arrays["s"] = sequences_of([np.full(1 + i % 7 + 9 * (i >= 300), i + (i == changed)) for i in range(rows)])

        return change

    earlier = [fingerprint_of(write("old.h5", 300, sequences(300)))]

    assert rows_before(write("new.h5", 310, sequences(310)), ["s", "x"], earlier) == 300
    assert rows_before(write("new.h5", 310, sequences(310)), ["s_length"], earlier) == 300
    assert rows_before(write("more.h5", 310, sequences(310, 200)), ["s", "x"], earlier) is None


def test_values_that_are_read_otherwise_are_no_longer_the_same(tmp_path):
    """The same stored rows with another scale are other inputs of a network."""
    files = {scale: tmp_path / f"{scale}.h5" for scale in (0.5, 0.25)}
    for scale, path in files.items():
        x, split = np.arange(20, dtype=np.uint8), np.zeros(20, np.uint8)
        write_dataset_file(path, {"x": x}, split, {"x": {"scale": scale}})

    assert rows_before(files[0.5], ["x"], [fingerprint_of(files[0.5])]) == 20
    assert rows_before(files[0.5], ["x"], [fingerprint_of(files[0.25])]) is None


@pytest.mark.parametrize(
    ("names", "found"), [(["a", "b"], 2), (["a", "b", "c"], 2), (["b", "a"], None), (["a"], None), (None, None)]
)
def test_other_classes(tmp_path, names, found):
    """Classes may be added behind, and neither be renamed nor change their order, also by a record in a file."""
    arrays, split = {"y": np.array([0, 0])}, np.array([0, 1], np.uint8)
    for name, classes in (("old", ["a", "b"]), ("new", names)):
        write_dataset_file(tmp_path / f"{name}.h5", arrays, split, {"y": {"classes": classes} if classes else {}})
    write_json_atomically(tmp_path / "data.json", fingerprints_to_json(fingerprints_of([tmp_path / "old.h5"])))
    earlier = read_fingerprints(tmp_path / "data.json").values()

    assert rows_before(tmp_path / "new.h5", ["y"], earlier) == found

"""Tests of hpcmtl.data.growth: the rows of an earlier run are told by their checksums."""

from __future__ import annotations

import numpy as np
import pytest

from hpcmtl.data.fingerprint import fingerprint_of, fingerprints_of, fingerprints_to_json, read_fingerprints
from hpcmtl.data.growth import rows_before
from hpcmtl.data.hdf5 import write_dataset_file
from hpcmtl.results.rundir.directory import write_json_atomically

ROWS = 700_000  # more than one block of `x`


@pytest.fixture
def write(tmp_path):
    """Write the first rows of an array, with changes."""

    def make(name, rows, change=lambda *_given: None):
        x, split = np.arange(rows, dtype=np.int16), (np.arange(rows) % 3).astype(np.uint8)
        arrays = {"x": x, "y": np.stack([x, x], axis=1)}
        change(arrays, split)
        attributes = arrays.pop("attributes", {"x": {"scale": 0.5}})
        write_dataset_file(tmp_path / name, arrays, split, attributes)
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


@pytest.mark.parametrize("later", [{"x": {"scale": 0.25}}, {}], ids=["another", "none"])
def test_another_scale(write, later):
    """Rows whose stored numbers are the same are other samples with another scale."""
    earlier = [fingerprint_of(write("old.h5", 300))]

    assert rows_before(write("new.h5", 400, lambda arrays, _: arrays.update(attributes=later)), ["x"], earlier) is None


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

"""A data file that no longer holds the values of the run's beginning is refused; one that does is not read again."""

from __future__ import annotations

import shutil

import h5py
import numpy as np
import pytest

from hpcmtl.data import fingerprint
from hpcmtl.data.fingerprint import (
    changes,
    fingerprint_of,
    fingerprints_of,
    fingerprints_to_json,
    read_fingerprints,
    require_unchanged,
)
from hpcmtl.data.hdf5 import write_dataset_file
from hpcmtl.errors import InputError
from hpcmtl.results.rundir.directory import write_json_atomically

ROWS = 20


def write(path, **changed):
    """Write a file, with some of its arrays or its split changed."""
    arrays = {"x": np.arange(ROWS, dtype=np.uint8), "y": np.arange(ROWS) % 2, **changed}
    split = arrays.pop("split", np.arange(ROWS) % 3)
    attributes = arrays.pop("attributes", {"x": {"scale": 0.5}})
    write_dataset_file(path, arrays, split, attributes, overwrite=True)


@pytest.fixture
def file(tmp_path):
    """A data file."""
    write(tmp_path / "rows.h5")
    return tmp_path / "rows.h5"


def test_fingerprints_come_back(file, tmp_path):
    """A fingerprint in a run directory is read as it was written; an older run has none."""
    known = fingerprints_of([file])
    write_json_atomically(tmp_path / "data.json", fingerprints_to_json(known))

    assert read_fingerprints(tmp_path / "data.json") == known
    assert read_fingerprints(tmp_path / "none.json") == {}
    (tmp_path / "data.json").write_text("{}")
    with pytest.raises(InputError, match="data.json: cannot be read"):
        read_fingerprints(tmp_path / "data.json")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"x": np.arange(ROWS, dtype=np.uint8)[::-1]}, ["x"]),
        ({"y": np.arange(ROWS) % 2 + 1}, ["y"]),
        ({"y": (np.arange(ROWS) % 2).astype(np.int32)}, ["y"]),
        ({"split": np.arange(ROWS) % 3 // 2}, ["split"]),
        ({"attributes": {"x": {"scale": 0.25}}}, ["x"]),
        ({"attributes": {"x": {"scale": 0.5}, "y": {"classes": ["a", "b"]}}}, ["y"]),
        ({"attributes": {"x": {"scale": 0.5, "units": "m"}}}, []),
        ({"z": np.zeros(ROWS)}, []),
    ],
)
def test_what_has_changed_is_named(file, changed, said):
    """Values, type, split, scale and classes count; attributes for people and further arrays do not."""
    before = fingerprint_of(file)
    write(file, **changed)

    assert [each.where.rpartition(": ")[2] for each in changes(file, before, ["x", "y"])] == said
    if said:
        with pytest.raises(InputError, match="when the run began, and is"):
            require_unchanged(file, before, ["x", "y"])
    else:
        require_unchanged(file, before, ["x", "y"])


def test_arrays_that_are_not_used_may_change(file):
    """A task that reads x alone does not mind another y."""
    before = fingerprint_of(file)
    write(file, y=np.ones(ROWS))

    require_unchanged(file, before, ["x"])


def test_a_value_that_was_changed_in_place_is_found(file):
    """Checksums in the file stay as they were: a file with another time is therefore read once."""
    before = fingerprint_of(file)
    with h5py.File(file, "r+") as opened:
        opened["x"][3] = 200

    with pytest.raises(InputError, match="x: values do not match their checksum"):
        require_unchanged(file, before, ["x"])


def test_reading_is_bounded(file, monkeypatch):
    """An unchanged file is never read, a copy of it once, however often it is asked for."""
    before, reads = fingerprint_of(file), []
    real = fingerprint.check_intact
    monkeypatch.setattr(fingerprint, "check_intact", lambda *given: reads.append(given) or real(*given))
    require_unchanged(file, before, ["x"])

    assert reads == []
    shutil.copy(file, file.with_name("copy.h5"))
    file.with_name("copy.h5").replace(file)
    for _ in range(3):
        require_unchanged(file, before, ["x"])
    assert len(reads) == 1

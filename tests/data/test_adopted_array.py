"""Damaged and wrong adopted files are refused by name, and never give other values."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from plain_files import adopted, write_plain

from hpcmtl.data.hdf5 import describe, read_split
from hpcmtl.data.reader import open_array
from hpcmtl.data.values import pass_over
from hpcmtl.errors import InputError

ARRAY = np.arange(1200.0).reshape(400, 3) / 7


@pytest.fixture
def made(tmp_path):
    """A file that has adopted another one."""
    return adopted(tmp_path / "out.h5", write_plain(tmp_path / "p.h5", {"x": ARRAY}), "x")


def everything(path):
    """Returns all that a run takes from a file."""
    describe(path)
    found, problems = pass_over(path, ["x", "split"])
    if problems:
        raise InputError(problems)
    with open_array(path, "x") as reader:
        return reader.exact(), read_split(path), found["x"].extremes


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("dtype", np.bytes_(b"O")),
        ("dtype", np.bytes_(b"nonsense")),
        ("dtype", np.bytes_(b"<f4")),
        ("shape", np.array([400])),
        ("shape", np.array([401, 3])),
        ("shape", np.array([], np.int64)),
        ("dataset", np.bytes_(b"y")),
        ("summary", np.bytes_(b"[]")),
        ("summary", np.bytes_(b"{")),
        ("summary", np.bytes_(b'{"smallest": 1, "largest": null, "fraction": null, "rounded": null}')),
        ("scale", np.float64(np.nan)),
        ("checksum", np.bytes_(b"text")),
    ],
)
def test_wrong_facts_of_an_array(made, key, value):
    """Facts that do not belong together, such as a person may write, are refused and end no program."""
    with h5py.File(made, "r+") as file:
        file["adopted/arrays/x"].attrs[key] = value

    with pytest.raises(InputError, match="x"):
        everything(made)


@pytest.mark.parametrize("name", ["adopted", "adopted/arrays", "adopted/originals/path", "split"])
def test_missing_parts(made, name):
    """A part that is not there is refused, with the file."""
    with h5py.File(made, "r+") as file:
        del file[name]

    with pytest.raises(InputError, match="out.h5"):
        everything(made)


def test_no_damage_gives_other_values(made):
    """A flipped byte anywhere is refused by name, or does no harm."""
    good, expected = made.read_bytes(), everything(made)
    places = np.random.default_rng(3).choice(len(good), 60, replace=False)
    refused = 0
    for place in places:
        made.write_bytes(good[:place] + bytes([good[place] ^ 0xFF]) + good[place + 1 :])
        try:
            found = everything(made)
        except InputError:
            refused += 1
        else:
            assert np.array_equal(found[0], expected[0])
            assert np.array_equal(found[1], expected[1])
            assert found[2] == expected[2]

    assert refused > 0

"""Adopted files are copied to the disk of a node with their originals, and nothing is read from afar after that."""

from __future__ import annotations

import logging
import time

import numpy as np
import pytest
from plain_files import adopted, plain_arrays, write_plain

from hpcmtl.data.hdf5 import read_split
from hpcmtl.data.open_file import open_sealed
from hpcmtl.data.reader import open_array
from hpcmtl.data.staging import NodeCopies
from hpcmtl.data.stored_array import find_array
from hpcmtl.errors import InputError

SECONDS = 30


@pytest.fixture
def family(tmp_path):
    """Two plain files, their adoption, and the arrays over both."""
    folder = tmp_path / "data"
    folder.mkdir()
    arrays = [plain_arrays(), plain_arrays(500)]
    files = [write_plain(folder / f"part{number}.h5", each) for number, each in enumerate(arrays)]
    whole = {name: np.concatenate([each[name] for each in arrays]) for name in arrays[0]}
    return adopted(tmp_path / "adopted.h5", files), files, whole


@pytest.fixture
def scratch(tmp_path):
    """The folder for temporary files of a node."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder


def copied(copies, path):
    """Returns the copy of a file, once it is there."""
    end = time.monotonic() + SECONDS
    while copies.nearest(path) == path:
        assert time.monotonic() < end
        time.sleep(0.01)
    return copies.nearest(path)


def test_the_originals_are_copied_too(family, scratch, caplog):
    """All rows come from the copies, also after the originals are gone, and the folder is removed at the end."""
    path, files, whole = family
    split = read_split(path)
    with caplog.at_level(logging.INFO), NodeCopies([path], scratch, "run") as copies:
        copy = copied(copies, path)
        for each in files:
            each.unlink()
        for name, expected in whole.items():
            with open_array(copy, name) as reader:
                assert np.array_equal(reader.exact(), expected)
        assert np.array_equal(read_split(copy), split)
        with open_sealed(copy) as file:
            assert find_array(file, copy, "x").recorded_summary() is not None

    assert "is copied to" in caplog.text
    assert list(scratch.iterdir()) == []


def test_touched_originals_are_read_where_they_lie(family, scratch, caplog):
    """An original that is not as it was gets no copy, which would hide the change, and the log says why."""
    path, files, _ = family
    with files[1].open("ab") as file:
        file.write(b"more")
    with NodeCopies([path], scratch, "run") as copies:
        copies._thread.join(SECONDS)

        assert copies.nearest(path) == path
        assert list(scratch.rglob("*-part*")) == []
    assert "part1.h5 is not as it was when it was adopted" in caplog.text


def test_a_damaged_copy_is_noticed(family, scratch):
    """A bit that the disk of the node changes later fails the checksum of its block, as it would in an original."""
    path, _, whole = family
    with NodeCopies([path], scratch, "run") as copies:
        copy = copied(copies, path)
        (victim, *_) = sorted(scratch.rglob("*-part0.h5"))
        content = bytearray(victim.read_bytes())
        at = content.find(whole["x"][3].tobytes()[:64])
        content[at] ^= 1
        victim.write_bytes(content)

        with open_array(copy, "x") as reader, pytest.raises(InputError, match="do not match their checksum"):
            reader.exact()
    assert at > 0

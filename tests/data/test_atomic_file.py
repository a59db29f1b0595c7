"""Tests of hpcmtl.data.atomic_file; the killed writer is in test_hdf5."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import h5py
import pytest

from hpcmtl.data.atomic_file import new_file
from hpcmtl.errors import DirectoryGoneError, naming_the_gone


def names(directory: Path) -> list[str]:
    """Return what is in a directory, hidden files included."""
    return sorted(item.name for item in directory.iterdir())


def write(path: Path, value: int, error: Exception | None = None) -> None:
    """Write a file of one attribute, or fail after it."""
    with new_file(path) as file:
        file.attrs["value"] = value
        assert any(name.endswith(".partial") for name in names(path.parent))
        if error is not None:
            raise error


def test_file_replaces_the_old_one_when_the_block_ends(tmp_path):
    """The new content is there under the name, and nothing else."""
    path = tmp_path / "f.h5"
    write(path, 1)
    write(path, 2)

    assert names(tmp_path) == ["f.h5"]
    with h5py.File(path) as file:
        assert file.attrs["value"] == 2


def test_failing_block_keeps_the_old_file(tmp_path):
    """An exception while writing leaves the old file as it was, and nothing else."""
    path = tmp_path / "f.h5"
    write(path, 1)
    before = path.read_bytes()
    with pytest.raises(RuntimeError, match="half-way"):
        write(path, 2, RuntimeError("half-way"))

    assert path.read_bytes() == before
    assert names(tmp_path) == ["f.h5"]


def test_missing_directory(tmp_path):
    """A directory that is not there is the error of the system, not of HDF5."""
    with pytest.raises(FileNotFoundError, match="no"):
        write(tmp_path / "no" / "f.h5", 1)


FULL_DISC = """
import resource, signal, sys
import h5py
import numpy as np
from hpcmtl.data.atomic_file import new_file

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (3 << 20, 3 << 20))


def fill(file):
    file.create_dataset("x", data=np.ones((8, 1 << 18)), chunks=(1, 1 << 18))
    file.attrs["late"] = 1


def extend(file):  # nothing is written: HDF5 sets the length of the file at the end
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    properties.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    h5py.h5d.create(file.id, b"x", h5py.h5t.NATIVE_DOUBLE, h5py.h5s.create_simple((1 << 21,)), properties)


for change in fill, extend:
    try:
        with new_file(sys.argv[1]) as file:
            change(file)
    except OSError as error:
        print(error)
"""


def test_full_disc_leaves_nothing(tmp_path):
    """A write or a new length that the system refuses ends with its error and no file, and the process ends well."""
    result = subprocess.run(
        [sys.executable, "-c", FULL_DISC, tmp_path / "f.h5"],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (result.returncode, result.stdout) == (0, "[Errno 27] File too large\n" * 2), result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_is_renamed_meanwhile_is_named(tmp_path):
    """A file that is missing with its whole directory is told as a directory that is gone; another one as before."""

    def write_and_rename():
        with naming_the_gone(folder), new_file(folder / "x.h5") as file:
            file["x"] = 1
            folder.rename(tmp_path / "elsewhere")

    folder = tmp_path / "run"
    folder.mkdir()
    with pytest.raises(FileNotFoundError), naming_the_gone(folder):
        (folder / "missing").read_bytes()
    with pytest.raises(DirectoryGoneError, match="it was renamed or removed"):
        write_and_rename()

    assert not folder.exists()

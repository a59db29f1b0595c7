"""Tests of hpcmtl.data.staging: real files, and real processes where locks must be those of the dead."""

from __future__ import annotations

import logging
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from hpcmtl.data import sources, staging
from hpcmtl.data.batches import Batches, BatchSpec
from hpcmtl.data.cursor import Cursor
from hpcmtl.data.sources import Source
from hpcmtl.data.staging import NodeCopies, copy_verified, has_other_files

pytestmark = pytest.mark.slow

SECONDS = 30
KEEP = """
import sys
from pathlib import Path
from hpcmtl.data.staging import NodeCopies
file, parent, name = sys.argv[1:]
with NodeCopies([Path(file)], Path(parent), name) as copies:
    while copies.nearest(Path(file)) == Path(file):
        pass
    print(copies.nearest(Path(file)), flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def parent(tmp_path):
    """The folder for temporary files of a node."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder


@pytest.fixture
def rank(own_file, parent):
    """Start other processes that have the copies; their standard input keeps them."""
    started = []

    def start(name="run"):
        command = [sys.executable, "-c", KEEP, str(own_file), str(parent), name]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(process)
        return process, process.stdout.readline().strip()

    yield start
    for process in started:
        process.kill()
        process.communicate()


def until(done):
    """Wait for a condition."""
    end = time.monotonic() + SECONDS
    while not done():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_the_copy_is_used_when_it_is_complete(own_file, parent):
    """Rows come from the copy, byte for byte the original, and the folder is gone at the end."""
    with NodeCopies([own_file], parent, "run") as copies:
        until(lambda: copies.nearest(own_file) != own_file)
        copy = copies.nearest(own_file)
        same = copy.read_bytes() == own_file.read_bytes()
        with h5py.File(own_file, "r+") as file:
            kept = file["wide"][7]
        with Source("x", copy, "wide").opened() as reader:
            rows = reader.read(7, 8)
        other = copies.nearest(own_file.with_name("other.h5"))

    assert same
    assert copy.parent.parent == parent
    assert np.array_equal([kept], rows)
    assert other == own_file.with_name("other.h5")
    assert list(parent.iterdir()) == []


def test_a_file_that_changes_is_read_where_it_lies(own_file, parent):
    """The copy is that of one state of the original, and no longer used after it."""
    with NodeCopies([own_file], parent, "run") as copies:
        until(lambda: copies.nearest(own_file) != own_file)
        own_file.write_bytes(own_file.read_bytes() + b"more")

        assert copies.nearest(own_file) == own_file


def test_ranks_of_a_node_have_one_copy_until_the_last_ends(rank, parent):
    """Two processes read the same file, which stays when one is killed, and goes with the other."""
    (first, path), (second, same) = rank(), rank()
    first.kill()
    first.wait()

    assert path == same
    assert len([*parent.rglob("*.h5")]) == 1
    second.communicate("")
    assert second.returncode == 0
    assert list(parent.iterdir()) == []


def test_another_rank_goes_on_where_one_was_killed(own_file, parent, rank):
    """A rank that waits for the one that copies takes its place."""
    folder = parent / "hpcmtl.data.run"
    folder.mkdir(mode=0o700)
    hold = f"import fcntl, sys; file = open({str(folder / 'copying')!r}, 'w'); fcntl.flock(file, fcntl.LOCK_EX)"
    command = [sys.executable, "-c", f"{hold}; print(flush=True); sys.stdin.read()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as copier:
        copier.stdout.readline()
        with NodeCopies([own_file], parent, "run") as copies:
            before = copies.nearest(own_file)
            copier.kill()
            until(lambda: copies.nearest(own_file) != own_file)

    assert before == own_file


def test_folders_of_killed_runs_are_removed(rank, parent, own_file):
    """A run removes what killed runs left on the node, and nothing of those that live."""
    (killed, _), (_, lives) = rank("killed"), rank("lives")
    killed.kill()
    killed.wait()
    with NodeCopies([own_file], parent, "new"):
        names = {path.name for path in parent.iterdir()}

    assert names == {"hpcmtl.data.lives", "hpcmtl.data.new"}
    assert str(parent) in lives


def test_ranks_that_remove_the_same_folder_all_have_the_copy(rank, parent, own_file, monkeypatch):
    """A folder of a killed run that another rank removes at this moment does not keep a rank from the copy."""
    killed, _ = rank("killed")
    killed.kill()
    killed.wait()
    abandoned, lstat = parent / "hpcmtl.data.killed", Path.lstat

    def removed_by_another_rank(path):
        if path == abandoned:
            shutil.rmtree(path, ignore_errors=True)
        return lstat(path)

    monkeypatch.setattr(Path, "lstat", removed_by_another_rank)
    with NodeCopies([own_file], parent, "new") as copies:
        until(lambda: copies.nearest(own_file) != own_file)

    assert list(parent.iterdir()) == []


def test_without_room_the_original_is_read(own_file, parent, monkeypatch, caplog):
    """The log names file, folder and sizes; nothing of the copy stays."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=70 << 20))
    with NodeCopies([own_file], parent, "run") as copies:
        copies._thread.join(SECONDS)

        assert copies.nearest(own_file) == own_file
        assert not [*parent.rglob("*.h5"), *parent.rglob("*.part")]
    assert f"{own_file} is read where it lies" in caplog.text
    assert "has 70 MiB of room for 19 MiB" in caplog.text


def test_a_disk_that_returns_something_else_is_found(own_file, parent, monkeypatch):
    """The checksum of what was written is compared with that of what is read back."""

    def damage(descriptor, *_):
        with Path(f"/proc/self/fd/{descriptor}").open("r+b") as file:
            file.seek(4096)
            file.write(b"x" * 64)

    monkeypatch.setattr(staging.os, "posix_fadvise", damage)

    with pytest.raises(OSError, match="does not have the checksum of the file"):
        copy_verified(own_file, parent / "copy.h5")


def test_a_folder_of_another_kind_is_not_used(own_file, parent, caplog):
    """A link in place of the folder could lead anywhere: the originals are read."""
    (parent / "elsewhere").mkdir()
    (parent / "hpcmtl.data.run").symlink_to(parent / "elsewhere")
    with NodeCopies([own_file], parent, "run") as copies:
        assert copies.nearest(own_file) == own_file

    assert "is not a folder of this user" in caplog.text
    assert list((parent / "elsewhere").iterdir()) == []


def test_values_in_other_files_are_left_there(own_file, parent, caplog):
    """A copy of a file with external storage would not have its values."""
    assert not has_other_files(own_file)
    with h5py.File(own_file, "r+") as file:
        file.create_dataset("more", (75,), "f4", external=[("more.raw", 0, 300)])
    assert has_other_files(own_file)
    with caplog.at_level(logging.INFO), NodeCopies([own_file], parent, "run") as copies:
        copies._thread.join(SECONDS)

        assert copies.nearest(own_file) == own_file
    assert "its values are in other files" in caplog.text


def test_epochs_begin_with_the_nearest_file(own_file, tmp_path, monkeypatch):
    """The first epochs are read from the original, and those after the copy was made from the copy, with equal rows."""
    opened, places = [], [own_file] * 2 + [shutil.copy(own_file, tmp_path / "copy.h5")] * 3
    real = sources.open_array
    monkeypatch.setattr(sources, "open_array", lambda path, name: (opened.append(path), real(path, name))[1])
    copies = SimpleNamespace(nearest=lambda _path: places[len(opened)])
    spec = BatchSpec((Source("x", own_file, "wide", copies=copies),), 16, memory_budget=0)
    with Batches(spec, Cursor(0, 0, 1), Cursor(3, 0, 1), 0, 1) as batches:
        found = [(batch.indices, batch.arrays["x"][:, 1, 1]) for batch in batches]

    assert opened == places[:4]  # the first is for the shapes
    assert all(np.array_equal(*each) for each in found)

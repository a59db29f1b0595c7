"""The rows of a split lie once in each node, and batches of them are those of the file."""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path

import h5py
import numpy as np
import pytest

from hpcmtl.communicators.inproc import RankFailedError, run_ranks
from hpcmtl.data.batches import Batches, BatchSpec
from hpcmtl.data.cursor import Cursor
from hpcmtl.data.hdf5 import write_dataset_file
from hpcmtl.data.sources import Source
from hpcmtl.errors import InputError
from hpcmtl.training.sessions import shared_split
from hpcmtl.training.sessions.shared_split import share_split

pytestmark = pytest.mark.slow

ROWS = 300
PROGRAM = Path(__file__).parents[2] / "mpi" / "share_split.py"
START, END = Cursor(0, 0, 3), Cursor(1, 2, 3)


@pytest.fixture
def path(tmp_path):
    """300 rows of 4 KiB with labels and weights; a third is not in train."""
    rng = np.random.default_rng(0)
    arrays = {"x": rng.random((ROWS, 1024), dtype=np.float32), "y": np.arange(ROWS), "w": rng.random(ROWS)}
    write_dataset_file(tmp_path / "rows.h5", arrays, (np.arange(ROWS) % 3 == 2).astype(np.uint8))
    return tmp_path / "rows.h5"


def spec_of(path, budget=256 << 20):
    """The data of a training on one rank."""
    sources = (Source("x", path, "x"), Source("y", path, "y"))
    return BatchSpec(sources, 32, sample_weights=Source("w", path, "w"), memory_budget=budget)


def read(spec, group):
    """Return the batches of one rank."""
    with Batches(spec, START, END, group.rank, group.size) as batches:
        return list(batches)


def same(one, other):
    """Return whether two lists of batches are equal to the last bit."""
    return all(
        np.array_equal(a.indices, b.indices)
        and np.array_equal(a.weights, b.weights)
        and all(np.array_equal(a.arrays[key], b.arrays[key]) for key in ("x", "y"))
        for a, b in zip(one, other, strict=True)
    )


def inode(spec):
    """Identify the memory that a rank has its rows in."""
    return None if spec.cache.segment is None else spec.cache.segment.address.inode


@pytest.mark.parametrize("ranks", [2, 3])
def test_ranks_of_a_node_share_the_rows(path, ranks):
    """All ranks have the same memory, which nobody can write to, and the batches that they read from disc."""

    def work(group):
        spec = spec_of(path)
        share_split(spec, group)
        shared = read(spec, group)
        return inode(spec), spec.cache.arrays["x"].flags.writeable, same(shared, read(spec_of(path, 0), group))

    found = run_ranks(ranks, work)

    assert len(set(found)) == 1
    assert found[0][1:] == (False, True)
    assert found[0][0] is not None


def test_each_node_has_its_own_copy(path, monkeypatch):
    """Ranks 0 and 2 are on one node, 1 and 3 on another, 4 is alone on its node and keeps its own rows."""
    nodes = dict(zip(range(5), "abab", strict=False)) | {4: "c"}
    monkeypatch.setattr(shared_split, "node_id", lambda: nodes[int(threading.current_thread().name.split()[1])])

    def work(group):
        spec = spec_of(path)
        share_split(spec, group)
        return inode(spec), same(read(spec, group), read(spec_of(path, 0), group))

    found = run_ranks(5, work)

    assert found[0] == found[2]
    assert found[1] == found[3]
    assert found[4] == (None, True)
    assert len(set(found)) == 3


def test_a_new_rank_gets_the_rows_of_the_others(path, monkeypatch):
    """In a later group the rows are not read again: ranks that have none take those of a rank that has them."""
    reads = []
    read_rows = shared_split.read_rows
    monkeypatch.setattr(shared_split, "read_rows", lambda *given: (reads.append(1), read_rows(*given)))

    def work(group):
        spec = spec_of(path)
        if group.rank < 3:
            first = group.create_group([0, 1, 2], 1)
            share_split(spec, first)
        if group.rank == 0:
            spec.cache.clear()
        group.barrier()
        share_split(spec, group)
        return inode(spec), same(read(spec, group), read(spec_of(path, 0), group))

    found = run_ranks(4, work)

    assert len(set(found)) == 1
    assert found[0][0] is not None
    assert len(reads) == 3


def test_budgets_of_a_node_add_up(path):
    """Rows that two ranks have room for are shared, and those that they have no room for are streamed."""
    size = 200 * (1024 * 4 + 8 + 4)

    def work(group, budget):
        spec = spec_of(path, budget)
        share_split(spec, group)
        batches = read(spec, group)
        return spec.cache.arrays is not None, same(batches, read(spec_of(path, 0), group))

    assert run_ranks(2, work, size // 2 + 100) == [(True, True)] * 2
    assert run_ranks(2, work, size // 2 - 100) == [(False, True)] * 2
    assert run_ranks(2, work, 0) == [(False, True)] * 2


def test_a_rank_that_cannot_attach_reads_for_itself(path, monkeypatch, caplog):
    """Where the files of other processes are hidden, all ranks of the node read as they did, and the log says why."""
    attach = shared_split.SharedSegment.attach

    def hidden(address):
        if threading.current_thread().name == "rank 2":
            raise PermissionError("hidden")
        return attach(address)

    monkeypatch.setattr(shared_split.SharedSegment, "attach", hidden)

    def work(group):
        spec = spec_of(path)
        share_split(spec, group)
        return inode(spec), same(read(spec, group), read(spec_of(path, 0), group))

    assert run_ranks(3, work) == [(None, True)] * 3
    assert "cannot use the samples in the memory of its node (hidden)" in caplog.text


def test_no_room_is_no_error(path, monkeypatch, caplog):
    """A system that refuses the memory leaves each rank its own rows."""

    def refuse(size):
        raise OSError(f"no {size} bytes")

    monkeypatch.setattr(shared_split.SharedSegment, "create", refuse)

    def work(group):
        spec = spec_of(path)
        share_split(spec, group)
        return inode(spec), len(read(spec, group))

    assert [each for each, _ in run_ranks(2, work)] == [None, None]
    assert "each rank of this node reads its samples for itself" in caplog.text


def test_damage_that_one_rank_meets_is_an_error_of_all(path):
    """Only the last rank reads the damaged rows; all raise the error that names file and dataset."""
    with h5py.File(path) as file:
        chunk = file["x"].id.get_chunk_info(1)
    with path.open("r+b") as file:
        file.seek(chunk.byte_offset + 40 * 4096)
        file.write(b"damage")
    raised = []

    def work(group):
        try:
            share_split(spec_of(path), group)
        except InputError as error:
            raised.append(str(error))
            raise

    with pytest.raises(RankFailedError):
        run_ranks(3, work)
    assert len(set(raised)) == 1
    assert len(raised) == 3
    assert "rows.h5: x: cannot be read, the file is damaged" in raised[0]


@pytest.mark.parametrize("end", [[], ["kill"]], ids=["ends", "killed"])
def test_real_ranks_hold_one_copy(mpirun, tmp_path, end):
    """Four processes hold 16 MiB together, and no name in /dev/shm, also after one of them was killed."""
    named = Path("/dev/shm")  # noqa: S108 - looked at alone
    values = np.random.default_rng(0).random((4096, 1024), dtype=np.float32)
    write_dataset_file(tmp_path / "x.h5", {"x": values}, np.zeros(4096, np.uint8))
    done = mpirun(4, [sys.executable, str(PROGRAM), str(tmp_path / "x.h5"), *end], timeout=60)
    found = json.loads(done.stdout.splitlines()[0])

    assert found["sum"] == pytest.approx(values.sum(dtype="f8"), rel=1e-5)
    assert sum(found["pss"]) == pytest.approx(values.nbytes, rel=0.01)
    assert (done.returncode == 0) == (not end)
    assert not [name for name in named.iterdir() if "hpcmtl" in name.name]

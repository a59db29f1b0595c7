"""Checkpoints inside layers: when they are due, how many are kept, and what a failed write does."""

import errno
import os
import threading
from types import SimpleNamespace

import numpy as np
import pytest

from hpcmtl.communicators.inproc import RankFailedError, run_ranks
from hpcmtl.exchange.store import read_sealed
from hpcmtl.jobfile.sections import Checkpoints
from hpcmtl.results.rundir.directory import RunDirectory
from hpcmtl.training.checkpointing import checkpoint
from hpcmtl.training.checkpointing.checkpoint import KEPT, AsyncCheckpointer
from hpcmtl.training.checkpointing.content import Checkpoint


def context_of(tmp_path, group, noted=None, **settings):
    """Records the calls of a session to its checkpointing."""
    record = lambda event: noted.append(event) if noted is not None else None  # noqa: E731
    job = SimpleNamespace(checkpoints=Checkpoints(**settings))
    return SimpleNamespace(job=job, task="digit", directory=RunDirectory(tmp_path), group=group, record=record)


def saved(step):
    """A state after so many steps."""
    return Checkpoint({"weights": np.full(100, step, np.float32)}, {"step": step})


def test_the_newest_are_kept(tmp_path):
    """Of many checkpoints the newest two are on disk after the end, whole, and the ledger was told of each."""
    noted = []
    (tmp_path / "checkpoints").mkdir()

    def on_rank(group):
        checkpoints = AsyncCheckpointer(context_of(tmp_path, group, noted))
        for step in (10, 20, 30):
            checkpoints.save(saved(step))
        checkpoints.flush()
        checkpoints.close()

    run_ranks(2, on_rank)
    files = sorted((tmp_path / "checkpoints" / "digit").iterdir())

    assert [file.name for file in files] == ["step-0000000020.h5", "step-0000000030.h5"]
    assert len(files) == KEPT
    assert [read_sealed(file)[1]["step"] for file in files] == [20, 30]
    assert [event.step for event in noted if event.name == "checkpoint_written"] == [10, 20, 30]


def test_one_is_due_after_the_interval(tmp_path, monkeypatch):
    """After the interval, on the first rank alone, and not while one is being written."""
    clock = [100.0]
    monkeypatch.setattr(checkpoint.time, "monotonic", lambda: clock[0])
    writing, written = threading.Event(), threading.Event()
    monkeypatch.setattr(checkpoint, "seal", lambda path, *_: (written.wait(10), path.touch()))
    (tmp_path / "checkpoints" / "digit").mkdir(parents=True)

    def on_rank(group):
        checkpoints = AsyncCheckpointer(context_of(tmp_path, group, interval=5.0))
        early, _ = checkpoints.due(), group.barrier()
        if group.rank == 0:
            clock[0] += 5
            writing.set()
        writing.wait(10)
        due = checkpoints.due()
        checkpoints.save(saved(10))
        if group.rank == 0:
            clock[0] += 50
        under_way = checkpoints.due()
        group.barrier()
        written.set()
        checkpoints.flush()
        after = checkpoints.due()
        checkpoints.close()
        return early, due, under_way, after

    first, second = run_ranks(2, on_rank)

    assert first == (False, True, False, True)
    assert second == (False, False, False, False)


def test_a_write_that_failed_fails_all_ranks(tmp_path, monkeypatch):
    """A full disk is told at the next checkpoint, or when the layer is to be complete, to every rank alike."""

    def full(path, *_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(checkpoint, "seal", full)

    def on_rank(group):
        checkpoints = AsyncCheckpointer(context_of(tmp_path, group))
        checkpoints.save(saved(10))
        with pytest.raises(OSError, match="No space left"):
            checkpoints.save(saved(20))
        checkpoints.save(saved(30))
        checkpoints.flush()

    with pytest.raises(RankFailedError, match="No space left"):
        run_ranks(2, on_rank)


def test_closing_says_what_was_not_written(tmp_path, monkeypatch, caplog):
    """A session that is closed in passing leaves the older state, with a warning."""
    monkeypatch.setattr(checkpoint, "seal", lambda *_: os.open(tmp_path / "no" / "where", os.O_RDONLY))

    def on_rank(group):
        checkpoints = AsyncCheckpointer(context_of(tmp_path, group))
        checkpoints.save(saved(10))
        checkpoints.close()

    run_ranks(1, on_rank)

    assert "task digit: the last checkpoint is not written: [Errno 2]" in caplog.text

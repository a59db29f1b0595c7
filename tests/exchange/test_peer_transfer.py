"""Ranks get rows from the memory of those who made them, while these do something else."""

from __future__ import annotations

from pathlib import Path

import peer_transfer_suite
import pytest

from hpcmtl.communicators.inproc import run_ranks
from hpcmtl.exchange.peer_transfer import ArrayLocation, ArtifactIndex
from hpcmtl.exchange.redistribute import Block


@pytest.mark.parametrize("ranks", [1, 2, 3, 5])
@pytest.mark.parametrize("check", peer_transfer_suite.CHECKS, ids=lambda check: check.__name__)
def test_threads(check, ranks):
    """Artifacts are handed over among ranks that are threads."""
    run_ranks(ranks, check)


def test_mpi(mpirun):
    """Artifacts are handed over among the ranks of a real MPI."""
    done = mpirun(3, Path(peer_transfer_suite.__file__))

    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(peer_transfer_suite.CHECKS)} checks passed on 3 ranks" in done.stdout


def test_rows_that_a_rank_has_itself_are_not_asked_for():
    """A rank that has all rows asks nobody: nobody would answer here."""

    def alone(world):
        peer_transfer = peer_transfer_suite.Serving(world, limit=1000).peer_transfer
        peer_transfer.keep("a", 0, peer_transfer_suite.pieces(0, 10))
        listed = ArrayLocation("x", "<i8", (10, 3), (Block(1, 0, 5), Block(0, 5, 10)))
        return peer_transfer.fetch(ArtifactIndex("a", {"x": listed}), {"x": [(2, 9)]})["x"][2:9].tolist()

    assert run_ranks(2, alone) == [peer_transfer_suite.WHOLE[2:9].tolist()] * 2


def test_memory_of_no_size_keeps_nothing():
    """Without memory for artifacts, as the job file may say, files are read and nobody is asked."""

    def enabled(world):
        return [peer_transfer_suite.Serving(world, limit=limit).peer_transfer.enabled for limit in (0, 1)]

    assert run_ranks(1, enabled) == [[False, True]]

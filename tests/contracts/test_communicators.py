"""Both adapters keep the contract of `Communicator`."""

from pathlib import Path

import communicator_suite
import lost_rank_suite
import pytest

from hpcmtl.communicators.inproc import run_ranks


@pytest.mark.parametrize("ranks", [1, 2, 3, 5])
@pytest.mark.parametrize("check", communicator_suite.CHECKS, ids=lambda check: check.__name__)
def test_threads(check, ranks):
    """Ranks that are threads keep the contract."""
    run_ranks(ranks, check)


@pytest.mark.parametrize("ranks", [2, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 3, 5))])
def test_mpi(mpirun, ranks):
    """Ranks of a real MPI keep the contract; the last check named is the one that failed."""
    done = mpirun(ranks, Path(communicator_suite.__file__))

    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(communicator_suite.CHECKS)} checks passed on {ranks} ranks" in done.stdout


def test_lost_ranks_that_are_threads():
    """Ranks that are threads outlive others that die."""
    assert run_ranks(lost_rank_suite.RANKS, lost_rank_suite.survive) == [2, 3]


@pytest.mark.slow
def test_lost_ranks_of_mpi(mpirun):
    """Ranks of a real MPI outlive others that are killed, and whoever was killed does not count in the exit code."""
    done = mpirun(lost_rank_suite.RANKS, Path(lost_rank_suite.__file__))

    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(line for line in done.stdout.splitlines() if line) == ["rank 2 survived", "rank 3 survived"]

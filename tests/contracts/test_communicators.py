"""Both adapters keep the contract of `Communicator`."""

from pathlib import Path

import communicator_suite
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

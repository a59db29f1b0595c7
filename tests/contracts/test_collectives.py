"""All collectives keep the contract: mean over the group, and training as one rank would on the whole batch."""

from pathlib import Path

import collective_suite
import gluon_suite
import pytest
import replica_suite

from hpcmtl.communicators.inproc import run_ranks

pytestmark = pytest.mark.slow

PROGRAM = Path(__file__).parents[1] / "mpi" / "check_collectives.py"
NAMES = {1: "horovod, kvstore, mpi, local"}
RANKS = [1, pytest.param(2, marks=pytest.mark.slow), 3]


@pytest.mark.parametrize("ranks", RANKS)
@pytest.mark.parametrize("name", ["kvstore", "mpi"])
@pytest.mark.parametrize("check", collective_suite.CHECKS, ids=lambda check: check.__name__)
def test_collectives_over_threads(check, name, ranks):
    """Collectives that need no MPI keep the contract where ranks are threads."""
    run_ranks(ranks, check, name)


@pytest.mark.parametrize("ranks", RANKS)
@pytest.mark.parametrize("name", ["kvstore", "mpi"])
@pytest.mark.parametrize("check", replica_suite.ALLREDUCE_CHECKS, ids=lambda check: check.__name__)
def test_training_over_threads(check, name, ranks):
    """Gluon trains exactly with them, by native arrays and by numpy views."""
    run_ranks(ranks, check, gluon_suite.setup(name))


@pytest.mark.parametrize("ranks", RANKS)
@pytest.mark.parametrize("name", ["kvstore", "mpi"])
@pytest.mark.parametrize("check", gluon_suite.CHECKS, ids=lambda check: check.__name__)
def test_gluon_over_threads(check, name, ranks):
    """Convolutions and batch normalisation work with them."""
    run_ranks(ranks, check, name)


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [1, 2, 3, 4])
def test_all_collectives_over_mpi(mpirun, ranks):
    """All keep the contract on ranks of a real MPI; the last check named is the one that failed."""
    # A process can have one Horovod at a time, so the ranks of one mpirun go through collectives and checks in turn.
    done = mpirun(ranks, PROGRAM, timeout=280, env={"OMPI_MCA_mpi_yield_when_idle": "1"})
    checks = len(collective_suite.CHECKS) + len(replica_suite.ALLREDUCE_CHECKS) + len(gluon_suite.CHECKS)

    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{checks} checks passed on {ranks} ranks with {NAMES.get(ranks, 'horovod, kvstore, mpi')}" in done.stdout

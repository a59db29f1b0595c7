"""All engines keep the contract: mean over the group, and training as one rank would on the whole batch."""

from pathlib import Path

import engine_suite
import pytest

from hpcmtl.communicators.inproc import run_ranks

PROGRAM = Path(__file__).parents[1] / "mpi" / "check_engines.py"
ENGINES = {1: "horovod, kvstore, local"}


@pytest.mark.parametrize("ranks", [1, pytest.param(2, marks=pytest.mark.slow), 3])
@pytest.mark.parametrize("check", engine_suite.CHECKS, ids=lambda check: check.__name__)
def test_kvstore_over_threads(check, ranks):
    """The KVStore engine keeps the contract where ranks are threads."""
    run_ranks(ranks, check, "kvstore")


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [1, 2, 3, 4])
def test_all_engines_over_mpi(mpirun, ranks):
    """Horovod and KVStore keep the contract on ranks of a real MPI; the last check named is the one that failed."""
    # A process can have one Horovod at a time, so the ranks of one mpirun go through engines and checks in turn.
    done = mpirun(ranks, PROGRAM, timeout=240, env={"OMPI_MCA_mpi_yield_when_idle": "1"})

    assert done.returncode == 0, done.stdout + done.stderr
    engines = ENGINES.get(ranks, "horovod, kvstore")
    assert f"{len(engine_suite.CHECKS)} checks passed on {ranks} ranks with {engines}" in done.stdout

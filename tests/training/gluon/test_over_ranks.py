"""Two ranks of a real MPI, each with its own random numbers, under an environment that would let them train alone."""

import json
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[2] / "mpi" / "train_over_ranks.py"
ALONE = {"HOROVOD_CONTROLLER": "gloo", "HOROVOD_CPU_OPERATIONS": "gloo", "PYTHONOPTIMIZE": "1"}


@pytest.mark.slow
def test_random_numbers_over_ranks_that_horovod_would_leave_alone(mpirun):
    """Horovod uses MPI all the same, with a warning; SGLD equals one rank's, and dropout goes on as if not stopped."""
    done = mpirun(2, PROGRAM, env=ALONE)
    found = json.loads(done.stdout.splitlines()[-1])

    assert done.returncode == 0, done.stderr
    assert "HOROVOD_CONTROLLER=gloo is ignored" in done.stderr
    assert found["sgld"] < 1e-6
    assert found == {"parted": [], "dropout_parted": [], "resumed": True, "sgld": found["sgld"]}

"""The command stream keeps its contract over both adapters of the communicator."""

import sys
from pathlib import Path

import pytest
import stream_suite

from hpcmtl.communicators.inproc import run_ranks


@pytest.mark.parametrize("ranks", [2, 3, 6])
@pytest.mark.parametrize("check", stream_suite.CHECKS, ids=lambda check: check.__name__)
def test_threads(check, ranks):
    """Ranks that are threads lose and reorder nothing."""
    run_ranks(ranks, check)


@pytest.mark.slow
def test_mpi(mpirun):
    """10,000 commands from rank 0 to blocks of three other real ranks arrive once each, in order."""
    done = mpirun(4, [sys.executable, str(Path(stream_suite.__file__)), "10000"])

    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(stream_suite.CHECKS)} checks passed on 4 ranks" in done.stdout

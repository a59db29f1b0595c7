"""Clipping, micro-batches and parameter groups are exact in every framework, on one rank and on three."""

import pytest
import replica_suite
import update_suite

from hpcmtl.communicators.inproc import run_ranks
from hpcmtl.training.frameworks import open_framework

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("ranks", [1, 3])
@pytest.mark.parametrize("framework", ["gluon", "torch"])
@pytest.mark.parametrize("check", update_suite.CHECKS, ids=lambda check: check.__name__)
def test_updates(check, framework, ranks):
    """The framework makes the updates of plain gradient descent in numpy."""
    framework == "gluon" or pytest.importorskip(framework)
    run_ranks(ranks, check, replica_suite.Setup(open_framework(framework), "mpi"))

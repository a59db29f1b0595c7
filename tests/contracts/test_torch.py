"""PyTorch on groups of threads: batch normalisation, mixed precision and users' networks are exact."""

import pytest

from hpcmtl.communicators.inproc import run_ranks

pytest.importorskip("torch")
import torch_suite


@pytest.mark.parametrize(
    "ranks", [1, pytest.param(2, marks=pytest.mark.slow), 3, pytest.param(4, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("check", torch_suite.CHECKS, ids=lambda check: check.__name__)
def test_on_a_group(check, ranks):
    """Ranks train as one process does."""
    run_ranks(ranks, check)

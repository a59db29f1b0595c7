"""PyTorch on groups of threads: batch normalisation, mixed precision and users' networks are exact."""

import pytest

from hpcmtl.communicators.inproc import run_ranks

pytest.importorskip("torch")
import normalised_suite
import torch_suite

pytestmark = pytest.mark.slow

RANKS = [1, pytest.param(2, marks=pytest.mark.slow), 3, pytest.param(4, marks=pytest.mark.slow)]


@pytest.mark.parametrize("ranks", RANKS)
@pytest.mark.parametrize("check", torch_suite.CHECKS, ids=lambda check: check.__name__)
def test_on_a_group(check, ranks):
    """Ranks train as one process does."""
    run_ranks(ranks, check)


@pytest.mark.parametrize("ranks", RANKS)
@pytest.mark.parametrize("check", normalised_suite.CHECKS, ids=lambda check: check.__name__)
def test_normalisation_over_a_group(check, ranks):
    """Batch normalisation by the whole batch is that of plain PyTorch on one process."""
    run_ranks(ranks, check, torch_suite.normalised_case())

"""Runs by mpirun with random transforms, on one rank and on three; a resume is in tests/training/sessions."""

from __future__ import annotations

import numpy as np
import pytest
from jobs import family, family_task

pytestmark = [pytest.mark.mpi, pytest.mark.slow, pytest.mark.timeout(600)]

TRANSFORM = ["normalise", {"name": "crop", "padding": 1}, {"name": "noise", "deviation": 0.1}, "user_code:jittered"]


def job(ranks):
    """A task with transforms on all ranks, in two layers that meet inside an epoch, and its evaluation."""
    digit = family_task("digit", input="digits/images", epochs=3, layers=2, ranks=ranks, transform=TRANSFORM)
    tasks = {"digit": digit, "report": {"kind": "evaluate", "needs": {"digit": "parameters"}}}
    return family(ranks=ranks, tasks=tasks)


def test_ranks_do_not_change_the_weights(start):
    """Weights agree within rounding, and so does the evaluation, which inherits `normalise` alone."""
    runs = [start(job(ranks)).finish() for ranks in (1, 3)]
    assert [run.returncode for run in runs] == [0, 0], [run.said for run in runs]
    scores = [run.results["tasks"]["report"]["metrics"]["accuracy"] for run in runs]
    expected, found = (run.arrays("digit") for run in runs)

    assert all(np.abs(expected[name] - found[name]).max() < 1e-4 for name in expected)
    assert scores == pytest.approx([scores[0]] * 2, abs=0.01)
    assert scores[0] > 0.6

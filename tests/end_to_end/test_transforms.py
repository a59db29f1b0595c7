"""Runs by mpirun with random transforms: on one rank, and on three, killed in the middle of an epoch and resumed."""

from __future__ import annotations

import numpy as np
import pytest
from jobs import family, family_task
from runs import PROGRAM

pytestmark = [pytest.mark.mpi, pytest.mark.slow, pytest.mark.timeout(600)]

TRANSFORM = ["normalise", {"name": "crop", "padding": 1}, {"name": "noise", "deviation": 0.1}, "user_code:jittered"]
KILL = {"HPCMTL_FAULT": "kill:rank=1,task=digit,layer=1,step=2", "HPCMTL_FT": "0"}


def job(ranks):
    """A task with transforms on all ranks, in two layers that meet inside an epoch, and its evaluation."""
    digit = family_task("digit", input="digits/images", epochs=3, layers=2, ranks=ranks, transform=TRANSFORM)
    tasks = {"digit": digit, "report": {"kind": "evaluate", "needs": {"digit": "parameters"}}}
    return family(ranks=ranks, tasks=tasks)


def test_ranks_and_a_resume_do_not_change_the_weights(start):
    """Weights agree within rounding, and so does the evaluation, which inherits `normalise` alone."""
    alone = start(job(1)).finish()
    killed = start(job(3), env=KILL).finish()
    resumed = start.again(killed.folder, PROGRAM, ["resume", str(killed.directory)]).finish()
    scores = [run.results["tasks"]["report"]["metrics"]["accuracy"] for run in (alone, resumed)]
    expected, found = alone.arrays("digit"), resumed.arrays("digit")

    assert killed.returncode not in {0, 75}, killed.said
    assert [alone.returncode, resumed.returncode] == [0, 0], alone.said + resumed.said
    assert all(np.abs(expected[name] - found[name]).max() < 1e-4 for name in expected)
    assert scores == pytest.approx([scores[0]] * 2, abs=0.01)
    assert scores[0] > 0.6

"""Runs by mpirun with random transforms: on 1 and 3 ranks, and on 2, killed in the middle of an epoch and resumed."""

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


def test_any_number_of_ranks_ends_with_the_same_weights(start):
    """Weights agree within rounding, and the evaluation, which inherits `normalise` alone, within a sample or two."""
    runs = [start(job(ranks)).finish() for ranks in (1, 3)]
    killed = start(job(2), env=KILL).finish()
    assert killed.returncode not in {0, 75}, killed.said
    resumed = start.again(killed.folder, PROGRAM, ["resume", str(killed.directory)]).finish()
    weights = [run.arrays("digit") for run in (*runs, resumed)]
    scores = [run.results["tasks"]["report"]["metrics"]["accuracy"] for run in (*runs, resumed)]

    assert [run.returncode for run in (*runs, resumed)] == [0, 0, 0], [run.said for run in (*runs, resumed)]
    for name, expected in weights[0].items():
        for found in weights[1:]:
            np.testing.assert_allclose(found[name], expected, atol=1e-4)
    assert scores == pytest.approx([scores[0]] * 3, abs=0.02)
    assert scores[0] > 0.6

"""Samplers in a job on a real MPI: two ranks end with the weights of one."""

from __future__ import annotations

import numpy as np
import pytest
from jobs import family, family_task
from runs import by_mpirun

pytestmark = [pytest.mark.mpi, pytest.mark.slow, pytest.mark.timeout(600)]

BALANCED = {"sampler": {"how": "balanced", "samples": 700}, "layers": 3}
SHOTS = {"sampler": {"how": "k_shot", "k": 5}, "epochs": 20}


def job_of(ranks):
    """Returns a job with a task of each sampler, on some ranks."""
    digit = {"input": "digits/images", "optimizer": {"name": "sgd", "learning_rate": 0.2}, "ranks": ranks}
    tasks = {"balanced": family_task("digit", **digit, **BALANCED), "shots": family_task("digit", **digit, **SHOTS)}
    return family(ranks=ranks, tasks=tasks)


def test_two_ranks_are_one(start):
    """The weights of two ranks are those of one within rounding, and both tasks learn."""
    alone, run = (start(job_of(ranks), by_mpirun(ranks)).finish(200) for ranks in (1, 2))
    metrics = {name: task["metrics"] for name, task in run.results["tasks"].items()}

    assert (alone.returncode, run.returncode) == (0, 0), alone.said + run.said
    for name in ("balanced", "shots"):
        expected, found = alone.arrays(name), run.arrays(name)
        assert found.keys() == expected.keys()
        for key in expected:
            np.testing.assert_allclose(found[key], expected[key], rtol=1e-4, atol=1e-5, err_msg=key)
    assert metrics["balanced"]["val_accuracy"] > 0.7
    assert metrics["shots"]["val_accuracy"] > 0.4
    assert run.leftovers() == []

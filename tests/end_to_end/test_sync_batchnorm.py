"""Gluon's batch normalisation over a group, in jobs on a real MPI: exact, sealed as any, and it outlives a rank."""

from __future__ import annotations

import numpy as np
import pytest
from jobs import family, family_task
from runs import by_mpirun, run_python

pytestmark = [pytest.mark.mpi, pytest.mark.slow, pytest.mark.timeout(600)]


def job_of(ranks, layers=1, **model):
    """Returns a job with a task of so many ranks, and one that predicts with it."""
    digit = family_task(
        "digit",
        input="digits/images",
        model={"name": "user_code:normalised", "outputs": 10, **model},
        optimizer={"name": "sgd", "learning_rate": 0.05},
        sync_batchnorm=True,
        epochs=2,
        layers=layers,
        ranks=ranks,
    )
    return family(ranks=ranks, tasks={"digit": digit, "after": {"kind": "predict", "needs": {"digit": "parameters"}}})


@pytest.fixture(scope="module")
def alone(start_once):
    """A run of one rank."""
    run = start_once(job_of(1), by_mpirun(1)).finish(200)
    assert run.returncode == 0, run.said
    return run


@pytest.mark.parametrize("engine", ["mpi", "horovod"])
def test_two_ranks_are_one(start, alone, engine):
    """Parameters and running statistics of two ranks are those of one, and so are validation and prediction."""
    job = job_of(2)
    job["tasks"]["digit"]["engine"] = engine
    run = start(job, by_mpirun(2)).finish(200)
    expected, found = alone.arrays("digit"), run.arrays("digit")
    metrics = [each.results["tasks"]["digit"]["metrics"] for each in (alone, run)]

    assert run.returncode == 0, run.said
    assert run.results["tasks"]["digit"]["engine"] == engine
    assert found.keys() == expected.keys()
    assert sum("running" in name for name in found) == 6
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-5, atol=1e-5, err_msg=name)
    assert metrics[1] == pytest.approx(metrics[0], rel=1e-3)
    assert metrics[0]["val_accuracy"] > 0.7
    assert run.leftovers() == []


def test_the_artifact_is_loaded_outside(alone):
    """`hpcmtl.load` opens it in a program without a group; it gives what plain Gluon does with these parameters."""
    code = (
        "import hpcmtl, sys, numpy as np, user_code\n"
        "images = np.random.default_rng(0).normal(size=(5, 1, 8, 8)).astype(np.float32)\n"
        "found = hpcmtl.load(sys.argv[1])\n"
        "made = found.network.outputs(images)['main']\n"
        "import mxnet as mx\n"
        "block = user_code.normalised(10)\n"
        "block.initialize()\n"
        "block(mx.nd.array(images))\n"
        "for name, parameter in block._collect_params_with_prefix().items():\n"
        "    parameter.set_data(mx.nd.array(found.arrays[name]))\n"
        "print(np.abs(block(mx.nd.array(images)).asnumpy() - made).max() < 1e-6)\n"
    )
    done = run_python(alone.folder, "-c", code, alone.directory / "artifacts" / "digit.h5")

    assert done.stdout == "True\n", done.stderr


@pytest.mark.parametrize("sums", [4, 150])
def test_a_rank_that_dies_in_a_pass(start, alone, sums):
    """The sums that wait for it end with an error, and the layer begins again with a spare rank: weights are right."""
    job = {**job_of(2, layers=2, dying_rank=1, sums=sums), "ranks": 3}
    run = start(job, by_mpirun(3)).finish(200)
    expected, found = alone.arrays("digit"), run.arrays("digit")

    assert (run.folder / "died").exists()
    assert run.returncode == 0, run.said
    assert [each["rank"] for each in run.events if each["event"] == "rank_lost"] == [1], run.said
    assert len([each for each in run.events if each["event"] == "layer_restarted"]) == 1
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-5, atol=1e-5, err_msg=name)
    assert "Traceback" not in run.stderr
    assert run.leftovers() == []

"""A run by mpirun on labels that a task makes and passes on in memory, many of them missing."""

from __future__ import annotations

import numpy as np
import pytest
from jobs import family
from runs import by_mpirun

pytest.importorskip("torch")
pytestmark = [pytest.mark.mpi, pytest.mark.slow, pytest.mark.timeout(600)]

MADE = {
    "kind": "python",
    "needs": {},
    "callable": "user_code:partly_labelled",
    "outputs": ["images", "digit", "halves"],
}
NET = {"kind": "train", "needs": {"made": "data"}, "input": "made/images", "epochs": 4, "ranks": 2}
DIGIT = {"target": "made/digit", "missing": -1, "class_weights": "balanced", "loss": "softmax_ce"}
HALVES = {"target": "made/halves", "missing": "nan", "loss": "l2"}
QUICK = {"name": "adam", "learning_rate": 0.03}
TASKS = {
    "made": MADE,
    "digit": {**NET, **DIGIT, "model": {"name": "mlp", "outputs": 10}, "framework": "torch", "metrics": ["accuracy"]},
    "halves": {**NET, **HALVES, "model": {"name": "mlp", "outputs": 2}, "metrics": ["r2"], "optimizer": QUICK},
    "digit_test": {"kind": "evaluate", "needs": {"digit": "parameters", "made": "data"}},
    "halves_test": {"kind": "evaluate", "needs": {"halves": "parameters", "made": "data"}, "metrics": ["mse", "r2"]},
}


def test_both_frameworks_learn_from_the_known_labels(start):
    """Classes and brightness are learned, and the metrics of the evaluations are numbers."""
    run = start(family(ranks=2, tasks=TASKS)).finish()
    tasks = run.results["tasks"]

    assert run.returncode == 0, run.said
    assert {name: task["status"] for name, task in tasks.items()} == dict.fromkeys(TASKS, "complete")
    assert tasks["digit_test"]["metrics"]["accuracy"] > 0.7
    assert tasks["halves_test"]["metrics"]["r2"] > 0.5
    assert tasks["halves"]["metrics"]["loss"] == pytest.approx(tasks["halves_test"]["metrics"]["mse"] / 2, rel=0.5)


def test_a_killed_gluon_task_ends_with_the_same_bits(start):
    """A rank dies in the middle of a layer on partly labelled samples; the resumed task has the bits of a whole run."""
    halves = {**TASKS["halves"], "layers": 3, "engine": "mpi"}
    job = family(ranks=2, tasks={"made": MADE, "halves": halves})
    sound = start(job, by_mpirun(2)).finish()
    env = {"HPCMTL_FAULT": "kill:rank=1,task=halves,layer=1,step=2", "HPCMTL_FT": "0"}
    died = start(job, by_mpirun(2), env=env).finish()
    resumed = start.again(died.folder, by_mpirun(2), ["resume", str(died.directory)], None).finish()
    expected, found = sound.arrays("halves"), resumed.arrays("halves")

    assert died.returncode != 0
    assert (sound.returncode, resumed.returncode) == (0, 0), sound.said + resumed.said
    assert [e["layer"] for e in resumed.events if e["event"] == "layer_started" and e["task"] == "halves"][-3:] == [
        1,
        1,
        2,
    ]
    assert found.keys() == expected.keys()
    assert all(np.array_equal(found[name], expected[name]) for name in expected)

"""A run by mpirun on labels that a task makes and passes on in memory, many of them missing."""

from __future__ import annotations

import pytest
from jobs import family

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

"""Tasks that end early, and change what they train, by mpirun: one rank and two agree, and dependents begin."""

from __future__ import annotations

import numpy as np
import pytest
from jobs import family

pytest.importorskip("torch")
pytestmark = [pytest.mark.mpi, pytest.mark.slow, pytest.mark.timeout(600)]

HEADS = {
    "digit": {"model": {"name": "mlp", "outputs": 10}, "target": "digits/digit", "loss": "softmax_ce"},
    "parity": {
        "model": {"name": "mlp", "outputs": 2},
        "target": "digits/parity",
        "loss": "softmax_ce",
        "metrics": ["accuracy"],
        "early_stopping": {"monitor": "val_accuracy", "patience": 1, "min_delta": 0.9},
    },
}
JOINT = {
    "kind": "joint",
    "needs": {"short": "parameters"},
    "input": "digits/images",
    "trunk": {"from": "short", "part": "body"},
    "heads": HEADS,
    "epochs": 4,
    "layers": 2,
    "optimizer": {
        "name": "sgd",
        "learning_rate": 0.05,
        "options": {"momentum": 0.9},
        "groups": {"trunk.*": {"learning_rate": 0.01}},
    },
    "freeze": {"trunk.*": {"until": 1}},
    "l2_sp": {"strength": 0.1, "pattern": "trunk.*"},
    "keep": {"state": "best", "monitor": "digit.loss"},
}
TASKS = {
    "short": {
        "kind": "train",
        "framework": "torch",
        "model": {"name": "mlp", "widths": [24], "outputs": 10},
        "input": "digits/images",
        "target": "digits/digit",
        "loss": "softmax_ce",
        "metrics": ["accuracy"],
        "epochs": 12,
        "layers": 4,
        "early_stopping": {"monitor": "loss", "patience": 2, "min_delta": 9.0},
    },
    "both_torch": {**JOINT, "framework": "torch"},
    "test": {"kind": "evaluate", "needs": {"both_torch": "parameters"}, "metrics": ["accuracy"]},
    "start": {
        "kind": "train",
        "model": {"name": "mlp", "widths": [24], "outputs": 10},
        "input": "digits/images",
        "target": "digits/digit",
        "loss": "softmax_ce",
        "epochs": 1,
    },
    "both_gluon": {**JOINT, "needs": {"start": "parameters"}, "trunk": {"from": "start", "part": "body"}},
}


def test_tasks_end_early_and_go_on_in_phases(start):
    """The first task ends in its second layer of four; heads stop, trunks begin late; parameters agree over ranks."""
    runs = [start(family(ranks=2, tasks={n: {**t, "ranks": ranks} for n, t in TASKS.items()})) for ranks in (1, 2)]
    one, two = (run.finish(180) for run in runs)

    assert (one.returncode, two.returncode) == (0, 0), one.said + two.said
    for run in (one, two):
        ended = [each for each in run.events if each["event"] == "layer_ended" and each["task"] == "short"]
        stopped = {(e["task"], e["head"]): e["epoch"] for e in run.events if e["event"] == "training_stopped"}
        assert [each["ended_early"] for each in ended][-1]
        assert len(ended) < 4
        assert stopped == {("short", ""): 2, ("both_torch", "parity"): 1, ("both_gluon", "parity"): 1}
        assert {task["status"] for task in run.results["tasks"].values()} == {"complete"}
        assert run.results["tasks"]["both_torch"]["metrics"]["best_epoch"] == 3
    for name in ("short", "both_torch", "both_gluon"):
        alone, together = one.arrays(name), two.arrays(name)
        for key, array in alone.items():
            np.testing.assert_allclose(together[key], array, rtol=2e-3, atol=2e-5, err_msg=f"{name} {key}")

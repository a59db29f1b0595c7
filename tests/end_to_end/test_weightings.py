"""Joint tasks with weightings by mpirun: the same parameters on one rank and on three, in both frameworks."""

from __future__ import annotations

import numpy as np
import pytest
from jobs import family

pytest.importorskip("torch")
pytestmark = [pytest.mark.mpi, pytest.mark.slow, pytest.mark.timeout(600)]

HEADS = {
    "digit": {"model": {"name": "mlp", "outputs": 10}, "target": "digits/digit", "loss": "softmax_ce"},
    "parity": {"model": {"name": "mlp", "outputs": 2}, "target": "digits/parity", "loss": "softmax_ce", "weight": 2.0},
}
JOINT = {
    "kind": "joint",
    "input": "digits/images",
    "trunk": {"model": {"name": "mlp", "widths": [24], "outputs": 12}},
    "heads": HEADS,
    "epochs": 2,
    "layers": 2,
    "optimizer": {"name": "sgd", "learning_rate": 0.05},
}
CHOICES = {
    "torch_nash": {"framework": "torch", "weighting": "nash_mtl"},
    "torch_moments": {
        "framework": "torch",
        "weighting": "adatask",
        "optimizer": {"name": "sgd", "learning_rate": 0.001},
    },
    "gluon_cagrad": {"framework": "gluon", "weighting": {"name": "cagrad", "options": {"c": 0.4}}},
    "gluon_famo": {"framework": "gluon", "weighting": "famo"},
    "torch_held": {"framework": "torch", "weighting": {"name": "nash_mtl", "every": 5}},
    "gluon_features": {"framework": "gluon", "weighting": {"name": "mgda", "gradients_at": "features"}},
    "gluon_halves": {"framework": "gluon", "weighting": "modo"},
    "torch_halves": {"framework": "torch", "weighting": "sdmgrad"},
    "copies": {
        "framework": "torch",
        "weighting": "upgrad",
        "heads": {**HEADS, "copy": HEADS["digit"]},
        "optimizer": {"name": "adam", "learning_rate": 0.01},
        "epochs": 6,
    },
}


def test_three_ranks_train_as_one(start):
    """Parameters differ by rounding alone, the weights of each layer are in the ledger, and both heads have learnt."""
    runs = [
        start(family(ranks=3, tasks={name: {**JOINT, **keys, "ranks": ranks} for name, keys in CHOICES.items()}))
        for ranks in (1, 3)
    ]
    one, three = (run.finish() for run in runs)

    assert (one.returncode, three.returncode) == (0, 0), one.said + three.said
    for name in CHOICES:
        alone, together = one.arrays(name), three.arrays(name)
        assert alone.keys() == together.keys()
        assert alone
        for key, array in alone.items():
            np.testing.assert_allclose(together[key], array, rtol=2e-3, atol=2e-5, err_msg=f"{name} {key}")
        assert three.results["tasks"][name]["metrics"]["digit.loss"] < 2.3
    affinity = three.results["tasks"]["copies"]["affinity"]

    assert affinity["groups"] == [["digit", "copy"], ["parity"]], affinity["cosines"]
    assert "copies: gradients suggest the groups digit + copy; parity" in three.said
    assert three.results["tasks"]["gluon_famo"]["affinity"] is None
    ended = [event for event in three.events if event["event"] == "layer_ended" and event["task"] == "torch_nash"]
    facts = [event["facts"] for event in ended]

    assert len(facts) == 2
    assert all(set(each["objective_weights"]) == {"digit", "parity"} for each in facts)
    assert all(-1 <= each["objective_cosines"]["digit, parity"] <= 1 for each in facts)

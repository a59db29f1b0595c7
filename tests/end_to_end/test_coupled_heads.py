"""Joint tasks whose heads take outputs of each other and must agree, by mpirun: on one rank, on two, and resumed."""

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
    "callable": "user_code:half_labelled",
    "outputs": {"images": None, "digit": "int64", "parity": "int64"},
}
HEADS = {
    "parity": {
        "inputs": ["trunk", "digit"],
        "model": {"name": "mlp", "outputs": 2},
        "target": "made/parity",
        "missing": -1,
        "loss": "softmax_ce",
        "metrics": ["accuracy"],
    },
    "digit": {
        "model": {"name": "mlp", "outputs": 10},
        "target": "made/digit",
        "loss": "softmax_ce",
        "metrics": ["accuracy"],
    },
}
AGREE = {"heads": ["digit", "parity"], "loss": "kl", "map": [0, 1] * 5, "weight": 0.5, "samples": "unlabelled"}
JOINT = {
    "kind": "joint",
    "needs": {"made": "data"},
    "input": "made/images",
    "trunk": {"model": {"name": "mlp", "widths": [24], "outputs": 12}},
    "heads": HEADS,
    "consistency": {"agree": AGREE},
    "epochs": 2,
    "layers": 2,
    "optimizer": {"name": "sgd", "learning_rate": 0.05},
}
STOPPED = {**HEADS, "parity": {**HEADS["parity"], "gradient": "stop"}}
CHOICES = {
    "torch_sum": {"framework": "torch", "accumulate": 2},
    "torch_nash": {"framework": "torch", "weighting": "nash_mtl", "heads": STOPPED},
    "gluon_sum": {"framework": "gluon", "heads": STOPPED, "consistency": {"agree": {**AGREE, "loss": "js"}}},
    "gluon_log": {"framework": "gluon", "weighting": "uncertainty"},
}
AFTER = {
    "outputs": {"kind": "predict", "needs": {"gluon_sum": "parameters", "made": "data"}},
    "codes": {"kind": "extract", "needs": {"torch_sum": "parameters", "made": "data"}, "output": "trunk"},
    "report": {"kind": "evaluate", "needs": {"torch_sum": "parameters", "made": "data"}},
}


def test_two_ranks_train_as_one(start):
    """Parameters differ by rounding, the loss of the agreement is told beside those of the heads, and networks run."""
    runs = [
        start(
            family(
                ranks=2,
                tasks={
                    "made": MADE,
                    **{name: {**JOINT, **keys, "ranks": ranks} for name, keys in CHOICES.items()},
                    **after,
                },
            )
        )
        for ranks, after in ((1, {}), (2, AFTER))
    ]
    one, two = (run.finish() for run in runs)

    assert (one.returncode, two.returncode) == (0, 0), one.said + two.said
    for name in CHOICES:
        alone, together = one.arrays(name), two.arrays(name)
        assert alone.keys() == together.keys()
        assert alone
        for key, array in alone.items():
            np.testing.assert_allclose(together[key], array, rtol=1e-4, atol=1e-6, err_msg=f"{name} {key}")
        metrics = two.results["tasks"][name]["metrics"]
        assert {"parity.loss", "digit.loss", "agree.loss", "parity.val_accuracy"} <= metrics.keys()
        assert 0 < metrics["agree.loss"] < 1
    ended = [event for event in two.events if event["event"] == "layer_ended" and event["task"] == "torch_nash"]
    outputs = two.arrays("outputs")

    assert all(set(each["facts"]["objective_weights"]) == {"parity", "digit", "agree"} for each in ended)
    assert (outputs["parity"].shape[1], outputs["digit"].shape[1]) == (2, 10)
    assert two.arrays("codes")["values"].shape[1] == 12
    assert two.results["tasks"]["report"]["metrics"]["digit.accuracy"] > 0.2


def test_a_killed_task_ends_with_the_same_bits(start):
    """A rank dies in the middle of a layer; the resumed task has the bits of a whole run."""
    name = "torch_nash"
    job = family(ranks=2, tasks={"made": MADE, name: {**JOINT, **CHOICES[name], "engine": "mpi", "ranks": 2}})
    sound = start(job, by_mpirun(2)).finish()
    env = {"HPCMTL_FAULT": f"kill:rank=1,task={name},layer=1,step=2", "HPCMTL_FT": "0"}
    died = start(job, by_mpirun(2), env=env).finish()
    resumed = start.again(died.folder, by_mpirun(2), ["resume", str(died.directory)], None).finish()
    expected, found = sound.arrays(name), resumed.arrays(name)

    assert died.returncode != 0
    assert (sound.returncode, resumed.returncode) == (0, 0), sound.said + resumed.said
    assert found.keys() == expected.keys()
    assert all(np.array_equal(found[each], expected[each]) for each in expected)

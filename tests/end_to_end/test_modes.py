"""Modes of joint tasks by mpirun: the same parameters on one rank and on two, and a second run on top of the first."""

from __future__ import annotations

import numpy as np
import pytest
from jobs import family

pytest.importorskip("torch")
pytestmark = [pytest.mark.mpi, pytest.mark.slow, pytest.mark.timeout(600)]

JOINT = {
    "kind": "joint",
    "input": "digits/images",
    "trunk": {"model": {"name": "mlp", "widths": [24], "outputs": 12}},
    "heads": {
        "digit": {"model": {"name": "mlp", "outputs": 10}, "target": "digits/digit", "loss": "softmax_ce"},
        "parity": {"model": {"name": "mlp", "outputs": 2}, "target": "digits/parity", "loss": "softmax_ce"},
    },
    "epochs": 2,
    "layers": 2,
    "framework": "torch",
}
MODES = {
    "turns": {"mode": "alternate", "turns": {"digit": 2, "parity": 1}},
    "stages": {"mode": "serial", "framework": "gluon"},
    "apart": {"mode": "separate"},
}
PARTS = ["turns", "stages", "apart.digit", "apart.parity"]


def test_modes_by_mpirun(start):
    """Separate tasks have plan, status and results; ranks change nothing; a second run begins with the first one."""
    report = {"kind": "evaluate", "needs": {"apart": "parameters"}, "metrics": ["accuracy"]}
    jobs = [
        {"report": report, **{name: {**JOINT, **keys, "ranks": ranks} for name, keys in MODES.items()}}
        for ranks in (1, 2)
    ]
    runs = [start(family(ranks=2, tasks=tasks)) for tasks in jobs]
    one, two = (run.finish() for run in runs)

    assert (one.returncode, two.returncode) == (0, 0), one.said + two.said
    assert two.results["tasks"].keys() == {*PARTS, "report.digit", "report.parity"}
    for name in PARTS:
        alone, together = one.arrays(name), two.arrays(name)
        assert alone.keys() == together.keys()
        for key, array in alone.items():
            np.testing.assert_allclose(together[key], array, rtol=1e-3, atol=2e-5, err_msg=f"{name} {key}")
    metrics = {name: two.results["tasks"][name]["metrics"] for name in two.results["tasks"]}
    assert "parity.accuracy" in metrics["report.parity"]
    assert metrics["report.digit"]["digit.accuracy"] > 0.5

    stages = {"run": str(two.directory), "task": "stages"}
    kept = {"from": stages, "part": "heads.digit", "target": "digits/digit", "loss": "softmax_ce"}
    later = {**JOINT, "trunk": {"from": stages, "part": "trunk"}, "heads": {"kept": kept}}
    later["optimizer"] = {"name": "sgd", "learning_rate": 1e-30}
    on_top = start(family(ranks=2, tasks={"later": later})).finish()
    given, taken = two.arrays("stages"), on_top.arrays("later")

    assert on_top.returncode == 0, on_top.said
    assert on_top.results["tasks"].keys() == {"later.from.stages", "later"}
    for key, array in taken.items():
        origin = given[key.replace("heads.kept", "heads.digit")]
        np.testing.assert_allclose(array, origin, rtol=0, atol=1e-20, err_msg=key)

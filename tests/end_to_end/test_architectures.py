"""Joint tasks with architectures by mpirun: the same parameters on one rank and on two, in both frameworks."""

from __future__ import annotations

import numpy as np
import pytest
from jobs import family

pytest.importorskip("torch")
pytestmark = [pytest.mark.mpi, pytest.mark.slow, pytest.mark.timeout(600)]

CHOICES = {
    "torch_mmoe": ("torch", {"name": "mmoe", "experts": 3}),
    "torch_stitches": ("torch", {"name": "cross_stitch", "per": "channel"}),
    "gluon_ple": ("gluon", {"name": "ple", "shared": 1, "own": 1, "levels": [{"name": "mlp", "outputs": 8}]}),
    "gluon_masks": ("gluon", "mtan"),
}
JOINT = {
    "kind": "joint",
    "input": "digits/images",
    "trunk": {"model": {"name": "convnet", "channels": [3], "widths": [12], "outputs": 10}},
    "heads": {
        "digit": {"model": {"name": "mlp", "outputs": 10}, "target": "digits/digit", "loss": "softmax_ce"},
        "parity": {"model": {"name": "mlp", "outputs": 2}, "target": "digits/parity", "loss": "softmax_ce"},
    },
    "epochs": 1,
    "layers": 2,
    "optimizer": {"name": "sgd", "learning_rate": 0.05},
    "weighting": "pcgrad",
}


def tasks(ranks):
    """A task for each choice; one that begins with the parameters of the other framework, and tasks on its network."""
    made = {
        name: {**JOINT, "framework": framework, "architecture": architecture, "ranks": ranks}
        for name, (framework, architecture) in CHOICES.items()
    }
    taken = {"needs": {"torch_mmoe": "parameters"}, "initialise": {"torch_mmoe": "*"}}
    still = {"optimizer": {"name": "sgd", "learning_rate": 1e-30}, "layers": 1}
    made["again"] = {**made["torch_mmoe"], "framework": "gluon", **taken, **still}
    made["codes"] = {"kind": "extract", "needs": {"again": "parameters"}, "output": "trunk.codes.parity"}
    made["also"] = {"kind": "extract", "needs": {"torch_mmoe": "parameters"}, "output": "trunk.codes.parity"}
    made["test"] = {"kind": "evaluate", "needs": {"gluon_ple": "parameters"}, "metrics": ["accuracy"]}
    return made


def test_two_ranks_train_as_one(start):
    """Parameters differ by rounding alone; the other framework takes them, and makes the same codes of them."""
    runs = [start(family(ranks=2, tasks=tasks(ranks))) for ranks in (1, 2)]
    one, two = (run.finish() for run in runs)

    assert (one.returncode, two.returncode) == (0, 0), one.said + two.said
    for name in CHOICES:
        alone, together = one.arrays(name), two.arrays(name)
        assert alone.keys() == together.keys()
        assert alone
        for key, array in alone.items():
            np.testing.assert_allclose(together[key], array, rtol=2e-3, atol=2e-5, err_msg=f"{name} {key}")
    given, taken = two.arrays("torch_mmoe"), two.arrays("again")
    assert all(np.array_equal(taken[key], array) for key, array in given.items())
    codes, also = two.arrays("codes")["values"], two.arrays("also")["values"]
    assert codes.shape[1:] == (10,)
    np.testing.assert_allclose(codes, also, rtol=1e-4, atol=1e-5)
    assert two.results["tasks"]["test"]["metrics"]["parity.accuracy"] > 0.4

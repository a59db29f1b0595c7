"""Python operators beside convolutions are found before MXNet computes; without oneDNN equal runs are bit-equal."""

from __future__ import annotations

import os
from pathlib import Path

import own_operators
import pytest
from own_blocks import mx
from runs import run_python

from hpcmtl.errors import EnvironmentUnfitError
from hpcmtl.frameworks.environment import EnvironmentNeeds
from hpcmtl.jobfile.kinds import FrameworkNeeds
from hpcmtl.networks.description import Leaf, Part, Shared
from hpcmtl.networks.models import ConvNet, Mlp, UserModel
from hpcmtl.networks.objective import Objective
from hpcmtl.training.gluon.framework import GluonFramework

CONTRACTS = str(Path(own_operators.__file__).parent)
STRESS = """
import os, sys
sys.path.insert(0, sys.argv[1])
import numpy as np
from hpcmtl.jobfile.kinds import FrameworkNeeds
from hpcmtl.jobfile.tasks import Optimizer
from hpcmtl.networks.description import Leaf
from hpcmtl.networks.models import UserModel
from hpcmtl.networks.objective import Objective
from hpcmtl.training.gluon.framework import GluonFramework
from hpcmtl.training.learner import LearnerSettings, StepInput

networks = [Leaf(UserModel(name="own_operators:operators", function=function)) for function in (False, True)]
framework, sample = GluonFramework(), (1, 12, 12)
tasks = {name: FrameworkNeeds(network=each, sample=sample) for name, each in zip("ab", networks)}
needs = framework.prepare_environment(tasks)
classes, optimizer = (Objective("main", "", "softmax_ce", 1.0, ()),), Optimizer(name="sgd", learning_rate=0.05)
ends = set()
for network in networks * 3:
    generator = np.random.default_rng(0)
    learner = framework.learner(network, sample, classes, LearnerSettings(optimizer, seed=3))
    for _ in range(12):
        inputs, labels = generator.random((16, 1, 12, 12)).astype(np.float32), generator.integers(0, 3, 16)
        learner.forward_backward(StepInput(inputs, (labels,), np.ones(16, np.float32), 16), [1.0], 1 / 16)
        learner.apply(0.05)
    ends.add(str(network).encode() + b"".join(array.tobytes() for array in learner.parameters_matching("*").values()))
print(len(ends), os.environ["MXNET_MKLDNN_ENABLED"], needs.reason)
"""


@pytest.mark.slow
def test_equal_runs_are_equal(tmp_path):
    """Three equal runs with an operator and with a function end with the same bits; with oneDNN all differ."""
    done = run_python(tmp_path, "-c", STRESS, CONTRACTS, timeout=200)

    assert done.stdout.startswith("2 0 a, b: Python operators beside convolutions race with oneDNN"), done.stderr


def user(name, **arguments):
    """Returns a network of this module's operators."""
    return Leaf(UserModel(name=f"own_operators:{name}", **arguments))


def loss(name):
    """Returns an objective with a loss."""
    return (Objective("main", "", name, 1.0, ()),)


CONVNET = Leaf(ConvNet(channels=(4,), outputs=3))
OWN, PLAIN = loss("own_operators:OwnLoss"), loss("l2")
CASES = {
    "operator": (user("operators"), PLAIN, True),
    "function": (user("operators", function=True), PLAIN, True),
    "in training alone": (user("operators", training=True), PLAIN, True),
    "part": (Part(user("operators"), "0"), PLAIN, True),
    "head": (
        Shared(CONVNET, (("a", user("operators", convolutions=False)),)),
        PLAIN,
        True,
    ),
    "loss": (CONVNET, OWN, True),
    "dense": (user("operators", convolutions=False), PLAIN, False),
    "dense function": (user("operators", convolutions=False, function=True), PLAIN, False),
    "dense loss": (Leaf(Mlp(outputs=3)), OWN, False),
    "none": (user("convolutional"), PLAIN, False),
    "not to be made": (user("nothing"), PLAIN, False),
    "ends the process": (Leaf(UserModel(name="own_blocks:leaves")), loss("own_blocks:leaves"), False),
    "ends it when it runs": (Leaf(UserModel(name="own_blocks:Leaving")), OWN, False),
}


@pytest.mark.parametrize("name", CASES)
def test_who_needs_it(monkeypatch, name):
    """Networks with both are found, in losses and functions as well; dense networks keep oneDNN."""
    network, objectives, needed = CASES[name]
    monkeypatch.setattr("hpcmtl.training.gluon.python_operators._is_on", lambda: False)
    monkeypatch.setenv("MXNET_MKLDNN_ENABLED", "1")
    monkeypatch.setenv("MXNET_STORAGE_FALLBACK_LOG_VERBOSE", "1")
    needs = FrameworkNeeds(network=network, sample=(1, 12, 12), objectives=objectives)
    found = GluonFramework().prepare_environment({"a": needs})
    again = GluonFramework().prepare_environment({"a": needs})

    assert (os.environ["MXNET_MKLDNN_ENABLED"] == "0") is needed
    assert found.reason.startswith("a: Python operators") is needed
    assert again == EnvironmentNeeds(variables=found.variables)


def test_too_late(monkeypatch):
    """If a convolution has run in this process, nothing can switch oneDNN off any more: refused, with the variable."""
    if os.environ.get("MXNET_MKLDNN_ENABLED") == "0":
        pytest.skip("this process has no oneDNN")
    for name in ("MXNET_MKLDNN_ENABLED", "MXNET_STORAGE_FALLBACK_LOG_VERBOSE"):
        monkeypatch.setenv(name, "1")  # so that both are as before afterwards
    weight = mx.nd.ones((16, 16, 3, 3))
    mx.nd.Convolution(mx.nd.ones((1, 16, 8, 8)), weight, kernel=(3, 3), num_filter=16, no_bias=True).wait_to_read()
    needs = FrameworkNeeds(network=user("operators"), sample=(1, 12, 12))

    with pytest.raises(EnvironmentUnfitError, match="MXNET_MKLDNN_ENABLED=0 in the environment before the start"):
        GluonFramework().prepare_environment({"a": needs})

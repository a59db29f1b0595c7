"""Networks that MXNet gets wrong with oneDNN are found before it computes; without oneDNN they are right."""

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
from hpcmtl.networks.fusion import Fusion
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
from hpcmtl.training.step_input import StepInput
from hpcmtl.training.learner_settings import LearnerSettings

networks = [Leaf(UserModel(name="own_operators:operators", function=function)) for function in (False, True)]
framework, shapes = GluonFramework(), {"input": (1, 12, 12)}
tasks = {name: FrameworkNeeds(network=each, samples=shapes) for name, each in zip("ab", networks)}
needs = framework.prepare_environment(tasks)
classes, optimizer = (Objective("main", "", "softmax_ce", 1.0, ()),), Optimizer(name="sgd", learning_rate=0.05)
ends = set()
for network in networks * 3:
    generator = np.random.default_rng(0)
    learner = framework.learner(network, shapes, classes, LearnerSettings(optimizer, seed=3))
    for _ in range(12):
        inputs, labels = generator.random((16, 1, 12, 12)).astype(np.float32), generator.integers(0, 3, 16)
        learner.forward_backward(StepInput({"input": inputs}, (labels,), np.ones(16, np.float32), 16), [1.0], 1 / 16)
        learner.apply(0.05)
    ends.add(str(network).encode() + b"".join(array.tobytes() for array in learner.parameters_matching("*").values()))
print(len(ends), os.environ["MXNET_MKLDNN_ENABLED"], needs.reason)
"""


JOINED = """
import sys
sys.path.insert(0, sys.argv[1])
import numpy as np
from hpcmtl.jobfile.kinds import FrameworkNeeds
from hpcmtl.networks.description import Leaf
from hpcmtl.networks.models import UserModel
from hpcmtl.training.gluon.framework import GluonFramework

framework, samples = GluonFramework(), np.random.default_rng(0).normal(size=(2, 4)).astype(np.float32)
for arguments in ({"behind": "operator"}, {"behind": "operator", "branches": 8}, {"branches": 5}):
    network = Leaf(UserModel(name="own_operators:Joined", **arguments))
    framework.prepare_environment({"a": FrameworkNeeds(network=network, samples={"input": (4,)})})
    made = framework.network(network, {"input": (4,)}, ("main",))
    own = made.block
    joined = np.concatenate([samples @ each.weight.data().asnumpy().T for each in own.branches], axis=1)
    joined = np.tanh(joined) if "behind" in arguments else joined
    right = joined @ own.last.weight.data().asnumpy().T
    print(np.abs(made.outputs({"input": samples}, None)["main"] - right).max() < 1e-5, end=" ")
"""


@pytest.mark.slow
def test_joined_columns_are_right(tmp_path):
    """Joined outputs of single units before a Python operator equal numpy's, which with oneDNN is up to chance."""
    done = run_python(tmp_path, "-c", JOINED, CONTRACTS)

    assert done.stdout == "True True True ", done.stderr


@pytest.mark.slow
def test_equal_runs_are_equal(tmp_path):
    """Three equal runs with an operator and with a function end with the same bits; with oneDNN all differ."""
    done = run_python(tmp_path, "-c", STRESS, CONTRACTS, timeout=200)

    assert done.stdout.startswith("2 0 a, b: Python operators race with oneDNN"), done.stderr


def user(name, **arguments):
    """Returns a network of this module's operators."""
    return Leaf(UserModel(name=f"own_operators:{name}", **arguments))


def loss(name):
    """Returns an objective with a loss."""
    return (Objective("main", "", name, 1.0, ()),)


MISREADS = "operators of MXNet 1.9.1 misread"
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
    "joined columns": (user("Joined", behind="operator"), PLAIN, True),
    "joined for a norm": (user("Joined", behind="norm"), PLAIN, MISREADS),
    "joined wide": (user("Joined", behind="operator", units=2), PLAIN, False),
    "joined of unknown width": (Shared(Leaf(Mlp(outputs=3)), (("a", user("Joined")),)), PLAIN, MISREADS),
    "joined without a graph": (user("JoinedWithoutGraph"), PLAIN, True),
    "softmax over space": (user("SoftmaxOfSpace"), PLAIN, MISREADS),
    "softmax over channels": (user("SoftmaxOfSpace", axis=1), PLAIN, False),
    "softmax of a flat array": (user("SoftmaxOfSpace", flat=True), PLAIN, False),
    "convolutions of one input": (Leaf(Fusion(encoders={"input": CONVNET.model}, outputs=2)), OWN, True),
    "joined encoders": (Leaf(Fusion(encoders={"input": Mlp(outputs=1)}, outputs=2)), OWN, True),
    "wide encoders": (Leaf(Fusion(encoders={"input": Mlp(outputs=2)}, outputs=2)), OWN, False),
    "none": (user("convolutional"), PLAIN, False),
    "not to be made": (user("nothing"), PLAIN, False),
    "ends the process": (Leaf(UserModel(name="own_blocks:leaves")), loss("own_blocks:leaves"), False),
    "ends it when it runs": (Leaf(UserModel(name="own_blocks:Leaving")), OWN, False),
}


@pytest.mark.parametrize("name", CASES)
def test_who_needs_it(monkeypatch, name):
    """Python operators beside its layouts are found, in losses as well, and what misreads them; others keep it."""
    network, objectives, needed = CASES[name]
    monkeypatch.setattr("hpcmtl.training.gluon.onednn._is_on", lambda: False)
    monkeypatch.setenv("MXNET_MKLDNN_ENABLED", "1")
    monkeypatch.setenv("MXNET_STORAGE_FALLBACK_LOG_VERBOSE", "1")
    needs = FrameworkNeeds(network=network, samples={"input": (1, 12, 12)}, objectives=objectives)
    found = GluonFramework().prepare_environment({"a": needs})
    again = GluonFramework().prepare_environment({"a": needs})

    assert (os.environ["MXNET_MKLDNN_ENABLED"] == "0") is bool(needed)
    assert found.reason.startswith(f"a: {'Python operators' if needed is True else needed}") is bool(needed)
    assert again == EnvironmentNeeds(variables=found.variables)


def test_too_late(monkeypatch):
    """If a convolution has run in this process, nothing can switch oneDNN off any more: refused, with the variable."""
    if os.environ.get("MXNET_MKLDNN_ENABLED") == "0":
        pytest.skip("this process has no oneDNN")
    for name in ("MXNET_MKLDNN_ENABLED", "MXNET_STORAGE_FALLBACK_LOG_VERBOSE"):
        monkeypatch.setenv(name, "1")  # so that both are as before afterwards
    weight = mx.nd.ones((16, 16, 3, 3))
    mx.nd.Convolution(mx.nd.ones((1, 16, 8, 8)), weight, kernel=(3, 3), num_filter=16, no_bias=True).wait_to_read()
    needs = FrameworkNeeds(network=user("operators"), samples={"input": (1, 12, 12)})

    with pytest.raises(EnvironmentUnfitError, match="MXNET_MKLDNN_ENABLED=0 in the environment before the start"):
        GluonFramework().prepare_environment({"a": needs})

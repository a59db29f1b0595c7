"""Losses by name have Gluon's values; losses of users give one value a sample, or are refused."""

import sys
from pathlib import Path

import numpy as np
import pytest

from hpcmtl.errors import InputError
from hpcmtl.jobfile.tasks import Optimizer
from hpcmtl.networks.description import Leaf
from hpcmtl.networks.models import Mlp
from hpcmtl.networks.objective import Objective
from hpcmtl.training.frameworks import open_framework
from hpcmtl.training.learner_settings import LearnerSettings
from hpcmtl.training.step_input import StepInput

torch = pytest.importorskip("torch")

SGD = Optimizer(name="sgd", learning_rate=0.1)
ROWS = 5


@pytest.fixture(autouse=True)
def _users_code(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "contracts"))
    monkeypatch.delitem(sys.modules, "own_modules", raising=False)


def step(framework, loss, target, outputs=3, smoothing=0.0):
    """Losses and gradients of a linear network with parameters that both frameworks have."""
    rng = np.random.default_rng(1)
    objectives = (Objective("main", "", loss, 1.0, (), label_smoothing=smoothing),)
    learner = open_framework(framework).learner(
        Leaf(Mlp(outputs=outputs)), {"input": (4,)}, objectives, LearnerSettings(SGD)
    )
    names = {name: array.shape for name, array in learner.parameters_matching("*").items()}
    learner.set_parameters({name: rng.normal(size=shape).astype(np.float32) for name, shape in names.items()})
    inputs, weights = rng.normal(size=(ROWS, 4)).astype(np.float32), rng.uniform(size=ROWS).astype(np.float32)
    learner.forward_backward(StepInput({"input": inputs}, (target,), weights, ROWS), [1.0], 0.5)
    gradients = {name: array.copy() for name, array in learner.gradients().items()}
    return learner.collect_losses(), gradients


@pytest.mark.parametrize("loss", ["l2", "l1", "huber", "softmax_ce", "sigmoid_bce"])
def test_values_and_gradients_are_those_of_gluon(loss):
    """Losses of the same name have the same values and gradients in both frameworks."""
    rng = np.random.default_rng(2)
    target = rng.integers(0, 3, ROWS) if loss == "softmax_ce" else rng.uniform(size=(ROWS, 3)).astype(np.float32)
    (ours, slopes), (theirs, expected) = step("torch", loss, target), step("gluon", loss, target)

    np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    assert all(np.allclose(slopes[name], expected[name], atol=1e-6) for name in expected)


@pytest.mark.parametrize("loss", ["softmax_ce", "sigmoid_bce"])
def test_smoothed_labels_are_those_of_gluon(loss):
    """Label smoothing changes values and gradients alike in both frameworks."""
    rng = np.random.default_rng(2)
    target = rng.integers(0, 3, ROWS) if loss == "softmax_ce" else rng.uniform(size=(ROWS, 3)).astype(np.float32)
    (ours, slopes), (theirs, expected) = (step(name, loss, target, smoothing=0.2) for name in ("torch", "gluon"))
    plain, _ = step("torch", loss, target)

    np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    assert not np.allclose(ours, plain, rtol=1e-3)
    assert all(np.allclose(slopes[name], expected[name], atol=1e-6) for name in expected)


@pytest.mark.parametrize(
    "loss",
    ["own_modules:Margin", "own_modules:Weighted", "torch.nn:CrossEntropyLoss", "torch.nn.functional:cross_entropy"],
)
def test_a_loss_with_a_reduction_is_not_reduced(loss):
    """Classes and functions with `reduction` give a value a sample, so that weights of samples and ranks count."""
    target = np.random.default_rng(2).integers(0, 3, ROWS)
    losses, _ = step("torch", loss, target)
    by_name, _ = step("torch", "softmax_ce", target)

    assert np.isfinite(losses).all()
    assert ("CrossEntropy" not in loss and "cross" not in loss) or np.allclose(losses, by_name)


def test_values_of_a_sample_are_averaged():
    """A loss with a value for each output counts by the mean over the outputs."""
    target = np.random.default_rng(2).integers(0, 3, ROWS)
    losses, _ = step("torch", "own_modules:cubed", target)

    assert losses.shape == (1, 1)


@pytest.mark.parametrize(
    ("loss", "said"),
    [
        ("own_modules:reduced", "gives values of shape () for 5 samples"),
        ("own_modules:Trainable", "would not be trained"),
        ("own_modules:nothing", "has no attribute 'nothing'"),
        ("own_modules:KEPT", "would not be trained"),
    ],
)
def test_what_is_no_loss_is_refused(loss, said):
    """A reduced loss, one with parameters and one that is not there are refused with the reason."""
    with pytest.raises(InputError, match=said.replace("(", r"\(").replace(")", r"\)")):
        step("torch", loss, np.zeros(ROWS, np.int64))

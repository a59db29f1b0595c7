"""Losses by name are what their formulas say, and a training's loss weighs samples and objectives."""

from __future__ import annotations

import numpy as np
import pytest

from hpcmtl.errors import InputError
from hpcmtl.networks.objective import Objective
from hpcmtl.training.gluon.compat import import_mxnet
from hpcmtl.training.gluon.description import GLUON
from hpcmtl.training.gluon.losses import TrainingLoss, make_loss
from hpcmtl.training.step_input import StepInput

mx = import_mxnet()


def softplus(x):
    """log(1 + exp(x)), without overflow."""
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def huber(made, target):
    """Quadratic within 1, linear beyond."""
    distance = np.abs(made - target)
    return np.where(distance > 1, distance - 0.5, 0.5 * distance**2)


ELEMENTWISE = {
    "l2": lambda made, target: 0.5 * (made - target) ** 2,
    "l1": lambda made, target: np.abs(made - target),
    "huber": huber,
    "sigmoid_bce": lambda made, target: softplus(made) - made * target,
    "own_blocks:Cubic": lambda made, target: np.abs(made - target) ** 3,
}


def softmax_ce(made, classes):
    """Minus the logarithm of the softmax of the right class."""
    shifted = made - made.max(axis=1, keepdims=True)
    return np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(classes)), classes]


def test_every_loss_of_the_job_file_is_tested_here():
    """A loss that is added gets its formula here."""
    assert set(GLUON.losses) == {name for name in ELEMENTWISE if ":" not in name} | {"softmax_ce"}


@pytest.mark.parametrize("shape", [(6, 1), (6, 4), (6, 2, 3)])
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_elementwise_losses(name, shape):
    """One value a sample: the mean over what the sample has."""
    generator = np.random.default_rng(3)
    made = generator.normal(scale=2, size=shape)
    target = generator.uniform(0, 1, shape)
    expected = ELEMENTWISE[name](made, target).reshape(len(made), -1).mean(axis=1)

    np.testing.assert_allclose(make_loss(name)(mx.nd.array(made), mx.nd.array(target)).asnumpy(), expected, rtol=1e-5)


def test_softmax_cross_entropy():
    """Class numbers as targets."""
    generator = np.random.default_rng(4)
    made, classes = generator.normal(scale=3, size=(7, 5)), generator.integers(0, 5, 7)

    found = make_loss("softmax_ce")(mx.nd.array(made), mx.nd.array(classes)).asnumpy().ravel()
    np.testing.assert_allclose(found, softmax_ce(made, classes), rtol=1e-5)


@pytest.mark.parametrize("smoothing", [0.1, 0.5])
def test_label_smoothing(smoothing):
    """The target has a share that all classes have alike; a label of a sigmoid is one of two classes."""
    generator = np.random.default_rng(4)
    made, classes = generator.normal(scale=3, size=(7, 5)), generator.integers(0, 5, 7)
    every = np.stack([softmax_ce(made, np.full(7, k)) for k in range(5)])
    of_classes = make_loss("softmax_ce", smoothing)(mx.nd.array(made), mx.nd.array(classes)).asnumpy()
    labels = generator.uniform(0, 1, (7, 5))
    of_labels = make_loss("sigmoid_bce", smoothing)(mx.nd.array(made), mx.nd.array(labels)).asnumpy()
    smooth = labels * (1 - smoothing) + smoothing / 2

    expected = (1 - smoothing) * softmax_ce(made, classes) + smoothing * every.mean(axis=0)
    np.testing.assert_allclose(of_classes, expected, rtol=1e-5)
    np.testing.assert_allclose(of_labels, ELEMENTWISE["sigmoid_bce"](made, smooth).mean(axis=1), rtol=1e-5)


class TwoOutputs(mx.gluon.HybridBlock):
    """Two linear outputs with one weight each."""

    def __init__(self):
        super().__init__()
        self.left = mx.gluon.nn.Dense(3, use_bias=False, in_units=2)
        self.right = mx.gluon.nn.Dense(1, use_bias=False, in_units=2)

    def hybrid_forward(self, F, x):  # noqa: N803 - Gluon's form
        """Both."""
        return [self.left(x), self.right(x)]


def test_the_training_loss_weighs_samples_and_objectives():
    """Losses are those of each sample; gradients are those of the weighted sum over samples and objectives."""
    block = TwoOutputs()
    block.initialize(mx.init.Xavier())
    objectives = (Objective("a", "", "softmax_ce", 0.25, ()), Objective("b", "", "l2", 3.0, ()))
    generator = np.random.default_rng(5)
    inputs = generator.normal(size=(4, 2)).astype(np.float32)
    classes, numbers = generator.integers(0, 3, 4), generator.normal(size=4).astype(np.float32)
    weights = np.array([1.0, 0.0, 2.5, 1.0], np.float32)
    left, right = (part.weight.data().asnumpy().astype(np.float64) for part in (block.left, block.right))
    found = TrainingLoss(block, objectives).backward(
        StepInput({"input": inputs}, (classes, numbers), weights, 4), [0.25, 3.0], 0.5
    )

    def each(left, right):
        return [softmax_ce(inputs @ left.T, classes), 0.5 * ((inputs @ right.T)[:, 0] - numbers) ** 2]

    def total(left, right):
        return np.array([(loss * weights).sum() * 0.5 for loss in each(left, right)])

    np.testing.assert_allclose([loss.asnumpy() for loss in found], each(left, right), rtol=1e-5)
    for part, place in ((block.left, 0), (block.right, 1)):
        gradient = part.weight.grad().asnumpy()
        for index in np.ndindex(gradient.shape):
            step = np.zeros(gradient.shape)
            step[index] = 1e-5
            ends = [
                total(*(w + sign * step if i == place else w for i, w in enumerate((left, right)))) for sign in (1, -1)
            ]
            slope = (np.array([0.25, 3.0]) * (ends[0] - ends[1])).sum() / 2e-5
            assert gradient[index] == pytest.approx(slope, rel=1e-3, abs=1e-4)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("own_blocks:Missing", "cannot be imported"),
        ("own_blocks:not_a_block", "makes a int, not a Gluon loss"),
        ("own_blocks:needs_more", "cannot be made without arguments"),
        ("own_blocks:TrainableLoss", r"has parameters \(scale\), which .* would not be trained"),
    ],
)
def test_losses_that_cannot_be_made_are_refused(name, said):
    """The message says what is wrong with a user's loss."""
    with pytest.raises(InputError, match=said):
        make_loss(name)


def test_a_loss_with_a_constant():
    """A constant of a loss has its value, without the user's initialising it."""
    loss = make_loss("own_blocks:ScaledLoss")

    assert loss(mx.nd.array([[3.0]]), mx.nd.array([[1.0]])).asscalar() == 12

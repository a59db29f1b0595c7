"""Consistency losses in both frameworks: the references are numpy, and finite differences of it."""

from __future__ import annotations

import numpy as np
import pytest

from hpcmtl.jobfile.tasks import Optimizer
from hpcmtl.networks.consistency import Consistency, table_matrix
from hpcmtl.networks.description import Leaf, Shared
from hpcmtl.networks.models import Mlp
from hpcmtl.networks.objective import Objective
from hpcmtl.training.frameworks import open_framework
from hpcmtl.training.learner_settings import LearnerSettings
from hpcmtl.training.step_input import StepInput

torch = pytest.importorskip("torch")

ROWS, FACTOR = 5, 0.5
TABLE = table_matrix((0, 1, 0, 1))
MIXED = ((0.5, 0.5), (0.25, 0.75), (1.0, 0.0), (0.0, 1.0))
CASES = {
    "kl": ("kl", ("softmax_ce", "softmax_ce"), (4, 2), TABLE),
    "kl without map": ("kl", ("softmax_ce", "softmax_ce"), (3, 3), None),
    "kl to one output": ("kl", ("softmax_ce", "sigmoid_bce"), (4, 1), MIXED),
    "js": ("js", ("softmax_ce", "softmax_ce"), (4, 2), MIXED),
    "js of one output": ("js", ("sigmoid_bce", "softmax_ce"), (1, 2), None),
    "l2 of classes": ("l2", ("softmax_ce", "softmax_ce"), (4, 2), MIXED),
    "l2 of labels": ("l2", ("sigmoid_bce", "sigmoid_bce"), (3, 3), None),
    "l2 of an expectation": ("l2", ("softmax_ce", "l2"), (4, 1), ((0.0,), (1.0,), (2.0,), (3.0,))),
}


def compared(outputs, loss):
    """Returns what is compared of a head, (n, values)."""
    if loss == "l2":
        return outputs
    if loss == "sigmoid_bce":
        chance = 1 / (1 + np.exp(-outputs))
        return chance if outputs.shape[1] > 1 else np.concatenate([1 - chance, chance], axis=1)
    exponentials = np.exp(outputs - outputs.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def divergence(one, two):
    """The sum of p log(p / q), where 0 log 0 is 0."""
    return np.where(one > 0, one * np.log(np.where(one > 0, one, 1) / two), 0).sum(axis=1)


def expected_values(case, first, second):
    """The value of a consistency loss for each row, in numpy."""
    name, losses, _, rows = CASES[case]
    one, two = compared(first, losses[0]), compared(second, losses[1])
    one = one if rows is None else one @ np.array(rows)
    if name == "l2":
        return ((one - two) ** 2).mean(axis=1) / 2
    mean = (one + two) / 2
    return divergence(one, two) if name == "kl" else (divergence(one, mean) + divergence(two, mean)) / 2


def learner_of(library, case, **keys):
    """A linear trunk with two linear heads, a consistency loss and parameters that are alike in both frameworks."""
    name, losses, widths, rows = CASES[case]
    values = tuple({"softmax_ce": "softmax", "sigmoid_bce": "sigmoid", "l2": "plain"}[loss] for loss in losses)
    agree = Consistency(name="agree", heads=("one", "two"), loss=name, values=values, map=rows, **keys)
    network = Shared(
        Leaf(Mlp(outputs=3)), tuple((n, Leaf(Mlp(outputs=w))) for n, w in zip(agree.heads, widths, strict=True))
    )
    objectives = tuple(Objective(n, "", loss, 1.0, ()) for n, loss in zip(agree.heads, losses, strict=True))
    settings = LearnerSettings(Optimizer(name="sgd", learning_rate=0.1), consistency=(agree,))
    learner = open_framework(library).learner(network, {"input": (4,)}, objectives, settings)
    rng = np.random.default_rng(1)
    shapes = {each: array.shape for each, array in learner.parameters_matching("*").items()}
    learner.set_parameters({each: rng.normal(size=shape).astype(np.float32) for each, shape in shapes.items()})
    return learner, objectives


def batch_for(objectives, learner, label_weights=()):
    """Some weighted rows with targets."""
    rng = np.random.default_rng(3)
    inputs, weights = rng.normal(size=(ROWS, 4)).astype(np.float32), rng.uniform(size=ROWS).astype(np.float32)
    made = learner.outputs({"input": inputs})
    targets = tuple(
        np.zeros(ROWS, np.int64) if each.loss == "softmax_ce" else np.zeros(made[each.name].shape, np.float32)
        for each in objectives
    )
    return StepInput({"input": inputs}, targets, weights, ROWS, label_weights=label_weights)


def linear(parameters, inputs):
    """Outputs of both heads by some parameters, in float64."""
    code = inputs @ parameters["trunk.output.weight"].T + parameters["trunk.output.bias"]
    return [
        code @ parameters[f"heads.{n}.output.weight"].T + parameters[f"heads.{n}.output.bias"] for n in ("one", "two")
    ]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("library", ["torch", "gluon"])
def test_values_and_gradients_are_those_of_numpy(library, case):
    """The mean over the batch, and its gradient by every parameter, by central differences."""
    learner, objectives = learner_of(library, case)
    batch = batch_for(objectives, learner)
    learner.forward_backward(batch, [0.0, 0.0, FACTOR], 1.0)
    found = {name: each.copy() for name, each in learner.gradients().items()}
    start = {name: each.astype(np.float64) for name, each in learner.parameters_matching("*").items()}

    def total(parameters):
        return float(expected_values(case, *linear(parameters, batch.inputs["input"])) @ batch.weights)

    assert learner.collect_losses()[0, 2] == pytest.approx(total(start) / ROWS, rel=1e-5, abs=1e-6)
    for name, gradient in found.items():
        expected = np.zeros_like(start[name])
        for place in np.ndindex(expected.shape):
            ends = []
            for step in (1e-5, -1e-5):
                moved = start[name].copy()
                moved[place] += step
                ends.append(total({**start, name: moved}))
            expected[place] = FACTOR * (ends[0] - ends[1]) / 2e-5
        np.testing.assert_allclose(gradient, expected, rtol=2e-3, atol=2e-5, err_msg=name)


@pytest.mark.parametrize("library", ["torch", "gluon"])
def test_all_losses_share_the_heads_that_they_train(library):
    """A head is private without the loss between both, and where the loss leaves it alone."""
    both, _ = learner_of(library, "kl")
    one, _ = learner_of(library, "kl", stop_gradient="one")

    assert tuple(both.views("private_gradients")) == ()
    assert tuple(one.views("private_gradients")) == ("heads.one.output.bias", "heads.one.output.weight")


@pytest.mark.parametrize("library", ["torch", "gluon"])
def test_rows_of_gradients_add_up_to_the_whole(library):
    """The gradients of each loss by itself, also in micro-batches and with samples that do not count."""
    learner, objectives = learner_of(library, "js", stop_gradient="two")
    counted = np.array([1, 0, 0, 1, 1], np.float32)
    batch = batch_for(objectives, learner, (None, None, counted))
    factors = [0.5, 2.0, 3.0]
    learner.forward_backward(batch, factors, 1.0)
    private = set(learner.views("private_gradients"))
    whole = np.concatenate([each.ravel() for name, each in learner.gradients().items() if name not in private])
    rows = np.zeros((3, whole.size), np.float32)
    list(learner.backward_each(batch, factors, 1.0, rows))
    outputs = learner.outputs(batch.inputs)
    expected = expected_values("js", outputs["one"].astype(float), outputs["two"].astype(float)) @ (
        batch.weights * counted
    )

    np.testing.assert_allclose(rows.sum(axis=0), whole, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(learner.collect_losses()[:, 2], [expected / ROWS] * 2, rtol=1e-5)


def scaled_difference(first, second):
    """A user's loss: it gets the outputs of both heads."""
    return (first[:, :2] - second).abs().sum(dim=1) * 3


def test_a_loss_of_users_gets_both_outputs():
    """Its values are those of numpy."""
    case = "kl"
    agree = Consistency(
        name="agree", heads=("one", "two"), loss=f"{__name__}:scaled_difference", values=("plain", "plain")
    )
    network = Shared(Leaf(Mlp(outputs=3)), (("one", Leaf(Mlp(outputs=4))), ("two", Leaf(Mlp(outputs=2)))))
    objectives = tuple(Objective(n, "", "softmax_ce", 1.0, ()) for n in agree.heads)
    settings = LearnerSettings(Optimizer(name="sgd", learning_rate=0.1), consistency=(agree,))
    learner = open_framework("torch").learner(network, {"input": (4,)}, objectives, settings)
    batch = batch_for(objectives, learner)
    learner.forward_backward(batch, [1.0, 1.0, 1.0], 1.0)
    made = learner.outputs(batch.inputs)
    expected = 3 * np.abs(made["one"][:, :2] - made["two"]).sum(axis=1) @ batch.weights / ROWS

    assert case in CASES
    assert learner.collect_losses()[0, 2] == pytest.approx(expected, rel=1e-5)


def test_probabilities_of_zero_have_finite_losses_and_gradients():
    """A map may give a class no probability, and scores may be far apart."""
    for library in ("torch", "gluon"):
        for case in ("kl", "js"):
            learner, objectives = learner_of(library, case)
            large = {name: each * 200 for name, each in learner.parameters_matching("*").items()}
            learner.set_parameters(large)
            learner.forward_backward(batch_for(objectives, learner), [0.0, 0.0, 1.0], 1.0)

            assert np.isfinite(learner.collect_losses()).all()
            assert all(np.isfinite(each).all() for each in learner.gradients().values())

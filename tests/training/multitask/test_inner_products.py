"""Inner products without rows of gradients: those of plain numpy, and no other course of a training."""

from __future__ import annotations

import numpy as np
import pytest

from hpcmtl.communicators.inproc import run_ranks
from hpcmtl.jobfile.tasks import Optimizer
from hpcmtl.networks.description import Leaf, Shared
from hpcmtl.networks.models import ConvNet, Mlp
from hpcmtl.networks.objective import Objective
from hpcmtl.training.frameworks import open_framework
from hpcmtl.training.learner_settings import LearnerSettings
from hpcmtl.training.multitask.methods import make_method
from hpcmtl.training.multitask.step_gradients import StepGradients
from hpcmtl.training.multitask.weightings.base import WeightingSetup
from hpcmtl.training.replica import Replica
from hpcmtl.training.step_input import StepInput
from hpcmtl.training.strategies.select import StrategySettings, open_strategy

pytest.importorskip("torch")
ROWS, VALUES, HIDDEN, CODE = 9, 400, 48, 40
THREE = tuple(Objective(name, "", "l2", weight, ()) for name, weight in (("a", 1.0), ("b", 0.5), ("c", 3.0)))
TRUNK = Mlp(widths=(HIDDEN,), outputs=CODE)  # the first weight pays, the second is too small
FACTORS = [0.3, 2.0, 1.0]
FRAMEWORKS = ("torch", "gluon")


def network(trunk=TRUNK):
    """A trunk with a head of two numbers for each objective."""
    return Shared(Leaf(trunk), tuple((each.name, Leaf(Mlp(widths=(), outputs=2))) for each in THREE))


def learner_of(library, trunk=TRUNK, shape=(VALUES,), **settings):
    """A learner of the network, with initial parameters that both frameworks have."""
    given = LearnerSettings(Optimizer(name="sgd", learning_rate=0.02), seed=1, **settings)
    learner = open_framework(library).learner(network(trunk), {"input": shape}, THREE, given)
    random = np.random.default_rng(3)
    parameters = learner.parameters_matching("*")
    learner.set_parameters({n: random.normal(size=a.shape).astype(np.float32) / 8 for n, a in parameters.items()})
    return learner


def batch_of(rows=ROWS, shape=(VALUES,), seed=0, *, missing=True):
    """A batch of which each objective has labels for some samples."""
    random = np.random.default_rng(seed)
    known = [(random.random(rows) < 0.7).astype(np.float32)[:, None].repeat(2, axis=1) for _ in THREE]
    return StepInput(
        {"input": random.normal(size=(rows, *shape)).astype(np.float32)},
        tuple(random.normal(size=(rows, 2)).astype(np.float32) for _ in THREE),
        random.uniform(0.5, 1.5, rows).astype(np.float32),
        rows,
        label_weights=tuple(known) if missing else (),
    )


def by_numpy(parameters, batch):
    """For each objective its loss and its gradients by name, in float64: the network written out."""
    p = {name: array.astype(np.float64) for name, array in parameters.items()}
    first, second = sorted(n.rsplit(".", 1)[0] for n in p if n.startswith("trunk") and n.endswith("weight"))
    x = batch.inputs["input"].astype(np.float64)
    before = x @ p[f"{first}.weight"].T + p[f"{first}.bias"]
    hidden = np.maximum(before, 0)
    code = hidden @ p[f"{second}.weight"].T + p[f"{second}.bias"]
    found = []
    for number, each in enumerate(THREE):
        (head,) = (n.rsplit(".", 1)[0] for n in p if f".{each.name}." in n and n.endswith("weight"))
        error = code @ p[f"{head}.weight"].T + p[f"{head}.bias"] - batch.targets[number]
        weights = batch.weights[:, None] * batch.label_weights[number] / 2
        slope = weights * error / ROWS
        at_code = slope @ p[f"{head}.weight"]
        at_hidden = (at_code @ p[f"{second}.weight"]) * (before > 0)
        gradients = {
            f"{head}.weight": slope.T @ code,
            f"{head}.bias": slope.sum(axis=0),
            f"{second}.weight": at_code.T @ hidden,
            f"{second}.bias": at_code.sum(axis=0),
            f"{first}.weight": at_hidden.T @ x,
            f"{first}.bias": at_hidden.sum(axis=0),
        }
        found.append(((weights * error**2 / 2).sum() / ROWS, gradients))
    return found


@pytest.mark.parametrize("library", FRAMEWORKS)
def test_products_and_sums_are_those_of_plain_numpy(library):
    """Inner products, weighted sums of gradients, gradients of heads and losses, with missing labels."""
    learner, batch = learner_of(library), batch_of()
    expected = by_numpy(learner.parameters_matching("*"), batch)
    products = learner.inner_products(batch, FACTORS, 1 / ROWS)
    assert products is not None
    products.combine([0.2, -1.0, 0.7])
    found = {name: array.copy() for name, array in learner.gradients().items()}
    shared = [name for name in found if name.startswith("trunk.")]
    rows = np.stack(
        [
            factor * np.concatenate([gradients[name].ravel() for name in shared])
            for factor, (_, gradients) in zip(FACTORS, expected, strict=True)
        ]
    )
    sums = dict.fromkeys(found, 0.0)
    for factor, weight, (_, gradients) in zip(FACTORS, (0.2, -1.0, 0.7), expected, strict=True):
        for name, gradient in gradients.items():
            sums[name] = sums[name] + gradient * factor * (weight if name in shared else 1.0)

    np.testing.assert_allclose(products.gramian, rows @ rows.T, rtol=1e-5, atol=1e-6 * (rows @ rows.T).max())
    for name, array in found.items():
        np.testing.assert_allclose(array, sums[name], rtol=1e-4, atol=1e-5 * np.abs(sums[name]).max(), err_msg=name)
    np.testing.assert_allclose(learner.collect_losses()[0], [loss for loss, _ in expected], rtol=1e-5)


def trained(group, library, trunk, shape, by_rows):
    """Parameters after some steps by UPGrad, and how often there were inner products."""
    learner = learner_of(library, trunk, shape)
    learner.reseed(0)
    made, count = learner.inner_products, 0

    def counted(*given):
        nonlocal count
        products = None if by_rows else made(*given)
        count += products is not None
        return products

    learner.inner_products = counted
    framework = open_framework(library)
    strategy = open_strategy(StrategySettings("local"), learner, framework, group)
    setup = WeightingSetup(objectives=tuple(each.name for each in THREE))
    replica = Replica(learner, strategy, StepGradients(make_method("upgrad", {}, setup), THREE))
    for number in range(4):
        replica.step(batch_of(9 - 2 * (number % 2), shape, number), 0.02, number)
    found = learner.parameters_matching("*")
    replica.close()
    return found, count


@pytest.mark.parametrize("library", FRAMEWORKS)
@pytest.mark.parametrize(
    ("trunk", "shape"),
    [(TRUNK, (VALUES,)), (ConvNet(channels=(4,), widths=(64,), outputs=20), (1, 14, 28))],
)
def test_a_training_takes_the_same_course_as_by_rows(library, trunk, shape):
    """Four steps on batches of two sizes, with convolutions beside dense layers."""
    ((found, count),) = run_ranks(1, trained, library, trunk, shape, False)
    ((expected, none),) = run_ranks(1, trained, library, trunk, shape, True)

    assert (count, none) == (4, 0)
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-5, atol=1e-6 * np.abs(array).max(), err_msg=name)


@pytest.mark.parametrize("library", FRAMEWORKS)
def test_other_networks_take_the_rows(library):
    """Micro-batches are left to the rows; so is a network that draws random numbers, in Gluon."""
    assert learner_of(library, accumulate=2).inner_products(batch_of(), FACTORS, 1.0) is None
    drawing = learner_of(library, TRUNK.model_copy(update={"dropout": 0.5}))

    assert (drawing.inner_products(batch_of(), FACTORS, 1.0) is None) == (library == "gluon")


def test_a_weight_with_two_uses_has_a_row(monkeypatch):
    """PyTorch: only layers that are the one use of their weight count by their factors."""
    import torch

    from hpcmtl.training.torch.dense_layers import dense_layers

    weight, other = (torch.nn.Parameter(torch.randn(200, 200)) for _ in range(2))
    offset = torch.nn.Parameter(torch.randn(200))
    names = {weight: "weight", other: "other", offset: "offset"}
    linear, x = torch.nn.functional.linear, torch.randn(5, 200)
    outputs = [linear(torch.relu(linear(x, other, offset)), weight), linear(x, weight, offset)]
    once = dense_layers([outputs[0]], names)
    twice = dense_layers(outputs, names)

    assert [(each.weight, each.offset) for each in once] == [("weight", None), ("other", "offset")]
    assert [(each.weight, each.offset) for each in twice] == [("other", None)]
    weight.register_hook(lambda gradient: gradient * 2)
    assert [each.weight for each in dense_layers([linear(x, weight)], names)] == []

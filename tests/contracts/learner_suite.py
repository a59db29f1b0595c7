"""Contract of a learner: one list of checks for all frameworks, on one rank.

The references are formulas in numpy, in float64. Each check is called with a framework. Models are those of the zoo,
with its names of parameters (`output.weight` is (outputs, inputs)).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from replica_suite import CLASSES, IMAGE, LINEAR, MLP, batches

from hpcmtl.exchange.store import PARAMETERS
from hpcmtl.frameworks.device import Device
from hpcmtl.jobfile.tasks import Optimizer
from hpcmtl.networks.description import Leaf, Shared
from hpcmtl.networks.models import Mlp
from hpcmtl.networks.objective import Objective
from hpcmtl.networks.parameter_mapping import ParameterMapping
from hpcmtl.training.learner import OPTIMIZER
from hpcmtl.training.learner_settings import LearnerSettings
from hpcmtl.training.step_comparison import StepComparison
from hpcmtl.training.step_input import StepInput

if TYPE_CHECKING:
    from hpcmtl.training.framework import Framework
    from hpcmtl.training.learner import Learner

SGD = Optimizer(name="sgd", learning_rate=9.0, weight_decay=0.1)  # the rate comes with each update
MOMENTUM = Optimizer(name="sgd", learning_rate=9.0, options={"momentum": 0.9})
NUMBERS = (Objective("main", "", "l2", 1.0, ()),)
WEIGHT, BIAS = "output.weight", "output.bias"


def learner_of(framework: Framework, model=LINEAR, objectives=CLASSES, optimizer=SGD, **settings) -> Learner:
    """Makes a learner with seed 3."""
    made = LearnerSettings(optimizer, **{"seed": 3, **settings})
    network = model if isinstance(model, Shared) else Leaf(model)
    return framework.learner(network, {"input": IMAGE}, objectives, made)


def parameters(learner: Learner) -> dict[str, np.ndarray]:
    """Copies of the parameters in float64."""
    return {name: array.astype(np.float64) for name, array in learner.parameters_matching("*").items()}


def softmax_reference(values, batch: StepInput, scale: float):
    """Losses of the samples and gradients of a linear model with softmax cross-entropy."""
    inputs = batch.inputs["input"].reshape(len(batch.inputs["input"]), -1).astype(np.float64)
    scores = inputs @ values[WEIGHT].T + values[BIAS]
    shifted = scores - scores.max(axis=1, keepdims=True)
    chances = np.exp(shifted) / np.exp(shifted).sum(axis=1, keepdims=True)
    rows = np.arange(len(inputs))
    slopes = chances.copy()
    slopes[rows, batch.targets[0]] -= 1
    slopes *= scale * batch.weights[:, None]
    return -np.log(chances[rows, batch.targets[0]]), {WEIGHT: slopes.T @ inputs, BIAS: slopes.sum(axis=0)}


def l2_reference(values, batch: StepInput, scale: float):
    """Losses of the samples and gradients of a linear model with half the mean squared error of its outputs."""
    inputs = batch.inputs["input"].reshape(len(batch.inputs["input"]), -1).astype(np.float64)
    errors = inputs @ values[WEIGHT].T + values[BIAS] - batch.targets[0]
    slopes = errors / errors.shape[1] * scale * batch.weights[:, None]
    return (errors**2).mean(axis=1) / 2, {WEIGHT: slopes.T @ inputs, BIAS: slopes.sum(axis=0)}


def with_numbers(batch: StepInput) -> StepInput:
    """The batch with three numbers a sample as its target."""
    targets = np.random.default_rng(8).normal(size=(len(batch.inputs["input"]), 3)).astype(np.float32)
    return StepInput(batch.inputs, (targets,), batch.weights, batch.global_samples)


def close(one, other, **bounds) -> bool:
    """Returns true if two sets of arrays have the same names and nearly the same numbers."""
    bounds = {"rtol": 1e-5, "atol": 1e-5, **bounds}
    return one.keys() == other.keys() and all(np.allclose(one[name], other[name], **bounds) for name in one)


def same(one, other) -> bool:
    """Returns true if two sets of arrays have the same names and bits."""
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def take_steps(learner: Learner, rate: float = 0.05) -> None:
    """Takes a step on each batch."""
    for batch in batches():
        learner.forward_backward(batch, [1.0], 1 / batch.global_samples)
        learner.apply(rate)


def check_one_step(framework: Framework) -> None:
    """Gradients are those of the weighted sum of losses, and an update is w - rate * (rescale * g + decay * w)."""
    for objectives, reference, change in (
        (CLASSES, softmax_reference, lambda batch: batch),
        (NUMBERS, l2_reference, with_numbers),
    ):
        learner, batch = learner_of(framework, objectives=objectives), change(batches()[0])
        before = parameters(learner)
        losses, gradients = reference(before, batch, 0.7 * 1.5)
        learner.forward_backward(batch, [1.5], 0.7)
        found = {name: array.copy() for name, array in learner.gradients().items()}
        learner.apply(0.5, 0.25)
        after = parameters(learner)
        shares = learner.collect_losses()
        applied = learner.applied_gradients("*.weight")

        assert close(found, gradients)
        assert close(applied, {WEIGHT: 0.25 * gradients[WEIGHT]})
        assert close(after, {n: w - 0.5 * (0.25 * gradients[n] + 0.1 * w) for n, w in before.items()})
        np.testing.assert_allclose(shares, [[losses @ batch.weights / batch.global_samples]], rtol=1e-5)


def check_comparison_changes_nothing(framework: Framework) -> None:
    """A comparison of the first step finds nothing in a sound network, and steps are as without it."""
    states = []
    for compared in (True, False):
        learner = learner_of(framework, Mlp(widths=(8,), outputs=3, dropout=0.5))
        learner.reseed(4)
        found = learner.compare_step(batches()[0], 0.05) if compared else StepComparison(draws=True)
        take_steps(learner)
        losses = learner.collect_losses()
        learner.run_uncompiled()
        take_steps(learner)
        states.append({**learner.state(), "losses": losses})

        assert found == StepComparison(draws=True)
        assert np.array_equal(losses, states[0]["losses"])
    assert close(states[0], states[1], rtol=1e-4)


def check_losses(framework: Framework) -> None:
    """Each step's losses are given once, in order; those of the newest steps may be left for a later call."""
    learner, expected = learner_of(framework), []
    for batch in batches():
        expected.append(softmax_reference(parameters(learner), batch, 1.0)[0] @ batch.weights / batch.global_samples)
        learner.forward_backward(batch, [1.0], 1 / batch.global_samples)
        learner.apply(0.05)
    first, then, nothing = learner.collect_losses(3), learner.collect_losses(), learner.collect_losses()

    assert (first.shape, then.shape, nothing.shape) == ((len(expected) - 3, 1), (3, 1), (0, 1))
    np.testing.assert_allclose(np.concatenate([first, then])[:, 0], expected, rtol=1e-4)


def check_views_share_memory(framework: Framework) -> None:
    """The learner goes on with the numbers that are written into views of gradients and parameters."""
    learner, batch = learner_of(framework, optimizer=Optimizer(name="sgd", learning_rate=9.0)), batches()[0]
    learner.outputs(batch.inputs)  # an inference forward may rearrange arrays
    for array in learner.views("parameters").values():
        array[...] = 1.0
    ones = parameters(learner)
    learner.forward_backward(batch, [1.0], 1.0)
    learner.outputs(batch.inputs)
    for array in learner.gradients().values():
        array[...] = 2.0
    learner.apply(0.25)
    natives = {which: len(learner.native(which)) for which in ("gradients", "trained", "parameters", "statistics")}

    assert all((array == 1).all() for array in ones.values())
    assert all((array == 0.5).all() for array in parameters(learner).values())
    assert natives == {which: len(learner.views(which)) for which in natives}
    assert list(learner.views("gradients")) == list(learner.views("trained"))


def check_finite(framework: Framework) -> None:
    """One gradient that is infinite or no number is noticed."""
    learner = learner_of(framework)
    learner.forward_backward(batches()[0], [1.0], 1.0)
    found = [learner.gradients_finite()]
    for value in (np.inf, -np.inf, np.nan):
        learner.gradients()[WEIGHT][0, 0] = value
        found.append(learner.gradients_finite())

    assert found == [True, False, False, False]


def check_state_goes_round(framework: Framework) -> None:
    """A new learner with the state of an old one takes the same steps, bit for bit; a state is a copy."""
    old = learner_of(framework, MLP, optimizer=MOMENTUM)
    take_steps(old)
    state = old.state()
    kept = {name: array.copy() for name, array in state.items()}
    take_steps(old)
    expected = old.state()
    new = learner_of(framework, MLP, optimizer=MOMENTUM, seed=99)
    take_steps(new)
    new.load_state({**state, "of another part": np.zeros(1)})
    loaded = new.state()
    take_steps(new)

    assert same(state, kept)
    assert same(loaded, state)
    assert same(new.state(), expected)
    assert not same(expected, state)
    assert {name.split("/")[0] + "/" for name in state} == {PARAMETERS, OPTIMIZER}


def check_seed(framework: Framework) -> None:
    """The seed alone decides the initial parameters."""
    one, again, other = (learner_of(framework, MLP, seed=seed) for seed in (1, 1, 2))

    assert same(parameters(one), parameters(again))
    assert not same(parameters(one), parameters(other))


def check_frozen(framework: Framework) -> None:
    """Frozen parameters have no gradient and stay as they are; `refresh_frozen` alone replaces them."""
    learner, producer = learner_of(framework, MLP, freeze=("body.*",)), learner_of(framework, MLP, seed=5)
    before = parameters(learner)
    take_steps(learner)
    trained = set(learner.gradients())
    after = parameters(learner)
    count = learner.refresh_frozen(producer.state(), ParameterMapping("trunk"))
    refreshed, theirs = parameters(learner), parameters(producer)

    assert trained == {WEIGHT, BIAS}
    assert all(np.array_equal(after[name], before[name]) != (name in trained) for name in before)
    assert count == len(before) - 2
    assert all(np.array_equal(refreshed[n], after[n] if n in trained else theirs[n]) for n in refreshed)


def check_parameters_by_name(framework: Framework) -> None:
    """Parameters are read, overwritten and taken from another task by name or pattern."""
    learner, producer = learner_of(framework), learner_of(framework, seed=5)
    ones = {WEIGHT: np.ones((3, 36), np.float32)}
    learner.set_parameters(ones)
    read = learner.parameters_matching("*.weight")
    count = learner.load_mapped(producer.state(), ParameterMapping("trunk", pattern="*.weight"))

    assert same(read, ones)
    assert count == 1
    assert np.array_equal(parameters(learner)[WEIGHT], parameters(producer)[WEIGHT])


def check_device(framework: Framework) -> None:
    """A learner has the device that it was made with."""
    device = Device(threads=3)
    learner = framework.learner(Leaf(LINEAR), {"input": IMAGE}, CLASSES, LearnerSettings(SGD), device)

    assert learner.device is device


def check_quiesce(framework: Framework) -> None:
    """Losses that were not collected are dropped, and training goes on."""
    learner = learner_of(framework)
    take_steps(learner)
    before = parameters(learner)
    learner.quiesce()

    assert learner.collect_losses().shape == (0, 1)
    assert same(parameters(learner), before)


CHECKS = [value for name, value in list(globals().items()) if name.startswith("check_")]

TRUNK = Mlp(widths=(8,), outputs=5, activation="tanh")
TWO = (Objective("digit", "", "softmax_ce", 1.0, ()), Objective("size", "", "l2", 1.0, ()))


def objective_gradients(learner: Learner, batch: StepInput, scale: float) -> list[dict[str, np.ndarray]]:
    """Gradients of each objective by the shared parameters, by name; a training pass is made."""
    ones = [1.0] * len(batch.targets)
    width = sum(array.size for array in learner.views("gradients").values()) + 3
    rows = np.full((len(ones), width), 7, np.float32)
    assert list(learner.backward_each(batch, ones, scale, rows)) == list(range(len(ones)))
    private = learner.views("private_gradients")
    shapes = {name: array.shape for name, array in learner.views("gradients").items() if name not in private}
    found = []
    for row in rows:
        pieces, start = {}, 0
        for name, shape in shapes.items():
            pieces[name] = row[start : start + math.prod(shape)].reshape(shape)
            start += math.prod(shape)
        assert (row[start:] == 7).all()
        found.append(pieces)
    return found


def check_objective_gradients(framework: Framework, dropout: float = 0.0) -> None:
    """They are the gradients of training for one objective alone, and their weighted sum is the joint gradient.

    Only shared parameters have them, and the others have those of the sum; parameters stay as they are. With dropout
    all passes have the same masks.
    """
    trunk = TRUNK.model_copy(update={"dropout": dropout})
    heads = (("digit", Leaf(Mlp(widths=(), outputs=3))), ("size", Leaf(Mlp(widths=(), outputs=1))))
    learner = learner_of(framework, Shared(Leaf(trunk), heads), TWO)
    batch = batches()[0]
    sizes = np.random.default_rng(8).normal(size=(len(batch.inputs["input"]), 1)).astype(np.float32)
    batch = StepInput(batch.inputs, (batch.targets[0], sizes), batch.weights, batch.global_samples)
    before = learner.state()
    learner.reseed(5)
    first, second = objective_gradients(learner, batch, 0.3)
    private = {name: array.copy() for name, array in learner.views("private_gradients").items()}
    learner.reseed(5)
    learner.forward_backward(batch, [0.25, 3.0], 0.3)
    joint = {name: array.copy() for name, array in learner.gradients().items()}
    alone = []
    for objective in range(2):
        single = learner_of(framework, Shared(Leaf(trunk), (heads[objective],)), (TWO[objective],))
        names = {name.removeprefix(PARAMETERS) for name in single.state()}
        single.set_parameters({n: a for n, a in learner.parameters_matching("*").items() if n in names})
        single.forward_backward(
            StepInput(batch.inputs, (batch.targets[objective],), batch.weights, batch.global_samples), [1.0], 0.3
        )
        alone.append({name: array.copy() for name, array in single.gradients().items() if name in first})

    assert set(first) == set(second) == {name for name in joint if name.startswith("trunk.")}
    assert close({name: 0.25 * first[name] + 3 * second[name] for name in first}, {n: joint[n] for n in first})
    assert private.keys() == {name for name in joint if name.startswith("heads.")}
    for name, factor in (("digit", 0.25), ("size", 3.0)):
        own = {each for each in private if f".{name}." in each}
        assert own
        assert close({n: factor * private[n] for n in own}, {n: joint[n] for n in own})
    assert dropout or (close(first, alone[0]) and close(second, alone[1]))
    assert same(learner.state(), before)
    newest = learner.newest_losses()
    losses = learner.collect_losses()
    assert losses.shape == (2, 2)
    assert np.allclose(losses[0], losses[1], rtol=1e-6)
    assert np.array_equal(newest, losses[1])
    assert np.array_equal(learner.newest_losses(), losses[1])
    learner.reseed(5)
    assert np.allclose(learner.losses_of(batch), losses[1], rtol=1e-6)
    assert same(learner.state(), before)


def check_gradients_by_portions(framework: Framework, dropout: float = 0.0) -> None:
    """Rows of portions are the gradients with other weights of the samples; they add up to the rows of the whole.

    With dropout all passes have the same masks. The other gradients, and the losses, are those of one pass.
    """
    trunk = TRUNK.model_copy(update={"dropout": dropout})
    heads = (("digit", Leaf(Mlp(widths=(), outputs=3))), ("size", Leaf(Mlp(widths=(), outputs=1))))
    learner = learner_of(framework, Shared(Leaf(trunk), heads), TWO)
    batch = batches()[0]
    random = np.random.default_rng(8)
    sizes = random.normal(size=(len(batch.weights), 1)).astype(np.float32)
    batch = StepInput(batch.inputs, (batch.targets[0], sizes), batch.weights, batch.global_samples)
    share = random.uniform(size=len(batch.weights)).astype(np.float32)
    width = sum(array.size for array in learner.views("gradients").values())
    rows = {name: np.zeros((count, width), np.float32) for name, count in (("first", 2), ("both", 2), ("apart", 4))}
    private = {}
    for name, weights, portions in (
        ("first", batch.weights * share, None),
        ("both", batch.weights, None),
        ("apart", batch.weights, np.stack([share, 1 - share])),
    ):
        learner.reseed(5)
        given = StepInput(batch.inputs, batch.targets, weights, batch.global_samples)
        arguments = () if portions is None else (portions,)
        numbers = list(learner.backward_each(given, [0.5, 2.0], 0.3, rows[name], *arguments))
        assert numbers == list(range(len(rows[name])))
        private[name] = {key: array.copy() for key, array in learner.views("private_gradients").items()}
    losses = learner.collect_losses()

    assert np.allclose(rows["apart"][0::2], rows["first"], rtol=1e-4, atol=1e-6)
    assert np.allclose(rows["apart"][0::2] + rows["apart"][1::2], rows["both"], rtol=1e-4, atol=1e-6)
    assert np.abs(rows["first"]).max() > 1e-4
    assert close(private["apart"], private["both"])
    assert losses.shape == (3, 2)
    assert np.allclose(losses[2], losses[1], rtol=1e-6)


def check_weights_of_shared_parameters(framework: Framework, dropout: float = 0.0) -> None:
    """They count for the shared parameters alone; the others, and the losses, are those of a pass without weights."""
    trunk = TRUNK.model_copy(update={"dropout": dropout})
    heads = (("digit", Leaf(Mlp(widths=(), outputs=3))), ("size", Leaf(Mlp(widths=(), outputs=1))))
    learner = learner_of(framework, Shared(Leaf(trunk), heads), TWO)
    batch = batches()[0]
    sizes = np.random.default_rng(8).normal(size=(len(batch.weights), 1)).astype(np.float32)
    batch = StepInput(batch.inputs, (batch.targets[0], sizes), batch.weights, batch.global_samples)
    found = []
    for weights in ((4.0, 0.25), (2.0, 0.0), (1.0, 1.0)):
        learner.reseed(5)
        learner.backward_weighted(batch, [0.5, 2.0], 0.3, weights)
        found.append({name: array.copy() for name, array in learner.gradients().items()})
    expected = []
    for factors in ((2.0, 0.5), (1.0, 0.0), (0.5, 2.0)):
        learner.reseed(5)
        learner.forward_backward(batch, factors, 0.3)
        expected.append({name: array.copy() for name, array in learner.gradients().items()})
    private = set(learner.views("private_gradients"))
    losses = learner.collect_losses()

    for each, shared in zip(found, expected, strict=True):
        names = each.keys() - private  # a weight of 0 is a millionth
        assert close({n: each[n] for n in names}, {n: shared[n] for n in names}, atol=1e-4)
        assert close({n: each[n] for n in private}, {n: expected[-1][n] for n in private})
    assert losses.shape == (6, 2)
    assert np.allclose(losses, losses[:1], rtol=1e-6)

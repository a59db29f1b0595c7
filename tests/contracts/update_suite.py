"""Contract of an update: clipping by norm, micro-batches and parameter groups, for every framework and on any group.

The reference is gradient descent on a linear model in numpy, in float64, on the whole batches.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from collective_suite import assert_same_bits
from replica_suite import CLASSES, LINEAR, MLP, alone, batches, dealt, largest_difference, opened, train

from hpcmtl.exchange.store import PARAMETERS
from hpcmtl.jobfile.tasks import Optimizer
from hpcmtl.networks.models import UserModel
from hpcmtl.training.multitask.step_gradients import weighted_sum
from hpcmtl.training.replica import Replica

if TYPE_CHECKING:
    from replica_suite import Setup

    from hpcmtl.communicators.base import Communicator
    from hpcmtl.training.step_comparison import StepComparison

NAMES = ("first.weight", "first.bias")
GROUPS = Optimizer(
    name="sgd",
    learning_rate=0.05,
    weight_decay=0.02,
    groups={"*.bias": {"learning_rate": 0.2, "weight_decay": 0.0}, "output.*": {"learning_rate": 0.01}},
)


def descended(start, clip: float = np.inf, rates=(0.05, 0.05), decays=(0.0, 0.0)):
    """Weight and bias after the steps on all batches, and the norms of the gradients."""
    weight, bias = (start[f"{PARAMETERS}output.{name}"].astype(np.float64) for name in ("weight", "bias"))
    norms = []
    for batch in batches():
        inputs = batch.inputs["input"].reshape(len(batch.inputs["input"]), -1)
        scores = inputs @ weight.T + bias
        chances = np.exp(scores - scores.max(axis=1, keepdims=True))
        chances /= chances.sum(axis=1, keepdims=True)
        slopes = (chances - np.eye(3)[batch.targets[0]]) * batch.weights[:, None] / batch.global_samples
        gradients = slopes.T @ inputs, slopes.sum(axis=0)
        norms.append(np.sqrt(sum((each**2).sum() for each in gradients)))
        factor = min(1.0, clip / norms[-1])
        weight = weight - rates[0] * (factor * gradients[0] + decays[0] * weight)
        bias = bias - rates[1] * (factor * gradients[1] + decays[1] * bias)
    return weight, bias, norms


def assert_near(state, weight, bias) -> None:
    """The state has these parameters of a linear model."""
    np.testing.assert_allclose(state[f"{PARAMETERS}output.weight"], weight, rtol=0, atol=1e-5)
    np.testing.assert_allclose(state[f"{PARAMETERS}output.bias"], bias, rtol=0, atol=1e-5)


def assert_alike(found: StepComparison, world: Communicator) -> None:
    """The step was that of the plain framework; threads share Python's random numbers, which would look drawn."""
    assert found.update == ""
    assert world.size > 1 or found.compiled == ""


def check_clip_norm(world: Communicator, setup: Setup) -> None:
    """The norm of the whole batch's gradient over all parameters is brought down to the limit, on every rank alike."""
    plain = Optimizer(name="sgd", learning_rate=0.05)
    with opened(setup, world, LINEAR, plain) as replica:
        start = replica.state()
        _, _, norms = descended(start)
        clip = float(np.median(norms))
        clipped = Replica(replica.learner, replica.strategy, weighted_sum(CLASSES), clip_norm=clip)
        state = train(clipped, world)
    weight, bias, norms = descended(start, clip)

    assert min(norms) < clip < max(norms)
    assert_near(state, weight, bias)
    assert_same_bits(world, state)


def check_micro_batches(world: Communicator, setup: Setup) -> None:
    """Steps in two or three micro-batches, or in more than there are rows, are those on the whole share."""
    with opened(setup, world, MLP) as replica:
        start = replica.state()
    expected = alone(setup, start, model=MLP)
    for count in (2, 3, 20):
        with opened(setup, world, MLP, accumulate=count) as replica:
            replica.load_state(start)
            losses = []
            found = replica.compare_first_step("t", dealt(batches()[0], world.rank, world.size), 0.05, world)
            for number, batch in enumerate(batches()):
                replica.step(dealt(batch, world.rank, world.size), 0.05, number)
                losses.append(replica.collect_losses())
            state = replica.state()

        assert_alike(found, world)
        assert [each.shape for each in losses] == [(1, 1)] * len(losses)
        assert largest_difference(state, expected) <= 1e-6
        assert largest_difference(state, start) > 0.01


def check_groups(world: Communicator, setup: Setup) -> None:
    """The first pattern that a name matches decides rate and decay, and the schedule scales all rates."""
    with opened(setup, world, LINEAR, GROUPS) as replica:
        found = replica.compare_first_step("t", dealt(batches()[0], world.rank, world.size), 0.05, world)
        start = replica.state()
        state = train(replica, world, rate=0.1)  # twice the rate of the task: that of a schedule
    weight, bias, _ = descended(start, rates=(0.02, 0.4), decays=(0.02, 0.0))

    assert_alike(found, world)
    assert_near(state, weight, bias)
    assert_same_bits(world, state)


def check_groups_of_tied_parameters(world: Communicator, setup: Setup) -> None:
    """A pattern that matches one name of a tied parameter is for the parameter, as `freeze` is."""
    module = "own_modules" if "torch" in type(setup.framework).__module__ else "own_blocks"
    model = UserModel(name=f"{module}:TiedByName")
    changes = {}
    for pattern in ("first.weight", "second.weight"):
        optimizer = Optimizer(name="sgd", learning_rate=0.1, groups={pattern: {"learning_rate": 1e-9}})
        with opened(setup, world, model, optimizer) as replica:
            found = replica.compare_first_step("t", dealt(batches()[0], world.rank, world.size), 0.1, world)
            start = replica.state()
            state = train(replica, world, 0.1)
        changes[pattern] = {
            name: float(np.abs(state[PARAMETERS + name] - start[PARAMETERS + name]).max()) for name in NAMES
        }

        assert_alike(found, world)
    assert all(each["first.weight"] < 1e-6 and each["first.bias"] > 1e-3 for each in changes.values())


def check_groups_of_other_optimizers(world: Communicator, setup: Setup) -> None:
    """Heads by another optimizer than the body: a group equals one rank, and its state goes on in a new replica."""
    mixed = Optimizer(name="adam", learning_rate=0.01, groups={"output.*": {"name": "sgd", "learning_rate": 0.05}})
    with opened(setup, world, MLP, mixed) as replica:
        start = replica.state()
        half = train(replica, world, 0.01)
        whole = train(replica, world, 0.01)
    with opened(setup, world, MLP, mixed, seed=9) as other:
        other.load_state(half)
        again = train(other, world, 0.01)
    one = alone(replace(setup), start, 0.01, model=MLP, optimizer=mixed)

    assert largest_difference(half, one) <= 1e-6
    assert all(np.array_equal(again[name], whole[name]) for name in whole)


CHECKS = [value for name, value in list(globals().items()) if name.startswith("check_")]

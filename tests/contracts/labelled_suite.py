"""Contract of training on labels of which some are missing: one list of checks for all frameworks.

The reference is gradient descent in numpy, in float64, on a linear trunk with two linear heads.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from collective_suite import assert_same_bits
from learner_suite import objective_gradients
from replica_suite import IMAGE, Setup, batches, dealt

from hpcmtl.exchange.store import PARAMETERS
from hpcmtl.jobfile.tasks import Optimizer
from hpcmtl.networks.description import Leaf, Shared
from hpcmtl.networks.models import Mlp
from hpcmtl.networks.objective import Objective
from hpcmtl.training.learner_settings import LearnerSettings
from hpcmtl.training.multitask.step_gradients import weighted_sum
from hpcmtl.training.replica import Replica
from hpcmtl.training.strategies.select import StrategySettings

if TYPE_CHECKING:
    from hpcmtl.communicators.base import Communicator
    from hpcmtl.training.learner import Learner
    from hpcmtl.training.step_input import StepInput

SGD = Optimizer(name="sgd", learning_rate=0.05)
WEIGHTS = (1.0, 0.5)


def network(labels: int) -> tuple[Shared, tuple[Objective, ...]]:
    """A linear trunk with a head of three classes and a head of some sizes, and their objectives."""
    heads = (("digit", Leaf(Mlp(widths=(), outputs=3))), ("size", Leaf(Mlp(widths=(), outputs=labels))))
    digit = Objective("digit", "", "softmax_ce", WEIGHTS[0], (), missing=-1.0)
    return Shared(Leaf(Mlp(widths=(), outputs=4)), heads), (digit, Objective("size", "", "l2", WEIGHTS[1], (), "nan"))


def labelled_batches(labels: int) -> list[StepInput]:
    """Batches with missing labels: some of a sample's, all of a sample, of a rank's share, of a whole batch.

    Weights of labels are those that make the sum over a batch a mean over its known labels.
    """
    generator = np.random.default_rng(7)
    made = []
    for number, batch in enumerate(batches()):
        rows = batch.global_samples
        known = [generator.random(rows) < 0.6, generator.random((rows, labels)) < 0.6]
        if number in {1, 5}:
            known[0][:] = False
        if number in {2, 5}:
            known[1][:] = False
        known[0][: rows // 2] &= number != 3
        known[1][rows // 2 :] &= number != 4
        sizes = generator.normal(size=(rows, labels)).astype(np.float32)
        factors = tuple(
            (each * np.float32(rows / max(each.sum() / each[0].size, 1e-9))).astype(np.float32) for each in known
        )
        made.append(replace(batch, targets=(batch.targets[0], sizes), label_weights=factors))
    return made


def gradients(values, batch: StepInput, scale: float = 1.0):
    """Mean losses and gradients of the weighted sum of losses over the known labels of a batch."""
    x = batch.inputs["input"].reshape(len(batch.inputs["input"]), -1).astype(np.float64)
    trunk = x @ values["trunk.output.weight"].T + values["trunk.output.bias"]
    found, losses, back = {}, [], np.zeros_like(trunk)
    for number, head in enumerate(("digit", "size")):
        weight, known = values[f"heads.{head}.output.weight"], batch.label_weights[number] > 0
        made = trunk @ weight.T + values[f"heads.{head}.output.bias"]
        count = max(known.sum(), 1)
        if head == "digit":
            chances = np.exp(made) / np.exp(made).sum(axis=1, keepdims=True)
            each = -np.log(chances[np.arange(len(x)), batch.targets[0]])
            slopes = (chances - np.eye(3)[batch.targets[0]]) * known[:, None]
            losses.append((each * known * batch.weights).sum() / count)
        else:
            slopes = (made - batch.targets[1]) * known
            losses.append((slopes**2 / 2 * batch.weights[:, None]).sum() / count)
        slopes = slopes * batch.weights[:, None] * WEIGHTS[number] * scale / count
        found[f"heads.{head}.output.weight"] = slopes.T @ trunk
        found[f"heads.{head}.output.bias"] = slopes.sum(axis=0)
        back += slopes @ weight
    return losses, {**found, "trunk.output.weight": back.T @ x, "trunk.output.bias": back.sum(axis=0)}


def _values(learner: Learner) -> dict[str, np.ndarray]:
    return {name: array.astype(np.float64) for name, array in learner.parameters_matching("*").items()}


def check_gradients(world: Communicator, setup: Setup, labels: int) -> None:
    """Gradients and losses of one rank are those of numpy, also by objective; without a label they are exactly 0."""
    made, objectives = network(labels)
    for count in (1, 3):
        settings = LearnerSettings(SGD, seed=3, accumulate=count)
        learner = setup.framework.learner(made, {"input": IMAGE}, objectives, settings)
        for batch in labelled_batches(labels):
            losses, expected = gradients(_values(learner), batch, 0.7)
            learner.forward_backward(batch, WEIGHTS, 0.7 / batch.global_samples)
            found = {name: array.copy() for name, array in learner.gradients().items()}
            shares = learner.collect_losses()[-1]
            alone = objective_gradients(learner, batch, 0.7 / batch.global_samples)

            assert found.keys() == expected.keys()
            assert all(np.allclose(found[name], expected[name], rtol=1e-5, atol=1e-6) for name in found)
            np.testing.assert_allclose(shares, losses, rtol=1e-5)
            for number, each in enumerate(alone):
                assert batch.label_weights[number].any() or not any(array.any() for array in each.values())
            joint = {n: WEIGHTS[0] * alone[0][n] + WEIGHTS[1] * alone[1][n] for n in alone[0]}
            assert all(np.allclose(joint[name], found[name], rtol=1e-4, atol=1e-5) for name in joint)


def check_group_equals_numpy(world: Communicator, setup: Setup, labels: int) -> None:
    """Ranks of a group hold the weights of plain numpy on the whole batches, and their losses add up to its losses."""
    made, objectives = network(labels)
    learner = setup.framework.learner(made, {"input": IMAGE}, objectives, LearnerSettings(SGD, seed=3))
    strategy = setup.open_strategy(StrategySettings(f"{setup.engine}!", "none"), learner, setup.framework, world)
    replica = Replica(learner, strategy, weighted_sum(objectives))
    replica.synchronise()
    values = start = _values(learner)
    expected = []
    for number, batch in enumerate(labelled_batches(labels)):
        replica.step(dealt(batch, world.rank, world.size), 0.05, number)
        losses, slopes = gradients(values, batch)
        expected.append(losses)
        values = {name: array - 0.05 * slopes[name] for name, array in values.items()}
    total = replica.collect_losses()
    world.Allreduce(total)
    state = replica.state()
    replica.close()

    assert_same_bits(world, state)
    assert max(np.abs(state[PARAMETERS + name] - values[name]).max() for name in values) <= 1e-6
    np.testing.assert_allclose(total, expected, rtol=1e-5)
    assert max(np.abs(values[name] - start[name]).max() for name in values) > 0.01


CHECKS = [check_gradients, check_group_equals_numpy]

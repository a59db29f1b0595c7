"""Contract of training on a group: n ranks train as one rank does on the concatenated batches.

The checks know neither the framework nor the strategy: a `Setup` names both. Each check is called on all ranks with a
communicator and a setup.
"""

from __future__ import annotations

import itertools
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from collective_suite import assert_same_bits

from hpcmtl.communicators.inproc import run_ranks
from hpcmtl.data.shard import shard
from hpcmtl.exchange.store import PARAMETERS
from hpcmtl.jobfile.tasks import Optimizer
from hpcmtl.networks.description import Leaf
from hpcmtl.networks.models import Mlp
from hpcmtl.networks.objective import Objective
from hpcmtl.training.learner import OPTIMIZER
from hpcmtl.training.learner_settings import LearnerSettings
from hpcmtl.training.multitask.step_gradients import weighted_sum
from hpcmtl.training.replica import Replica
from hpcmtl.training.step_input import StepInput
from hpcmtl.training.strategies.allreduce import LOSS_SCALE
from hpcmtl.training.strategies.select import StrategySettings, open_strategy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hpcmtl.communicators.base import Communicator
    from hpcmtl.networks.zoo import Model
    from hpcmtl.training.framework import Framework
    from hpcmtl.training.strategies.base import SynchronisationStrategy

IMAGE = (1, 6, 6)
MLP = Mlp(widths=(8,), outputs=3, activation="tanh")
LINEAR = Mlp(widths=(), outputs=3)
SGD = Optimizer(name="sgd", learning_rate=0.05, options={"momentum": 0.9})
PLAIN_SGD = Optimizer(name="sgd", learning_rate=0.05, weight_decay=0.01)
ADAM = Optimizer(name="adam", learning_rate=0.01)
CLASSES = (Objective("main", "", "softmax_ce", 1.0, ()),)

# 8 is even for 2 and 4 ranks and uneven for 3; of a batch of 2 or 1 some ranks of 2, 3 and 4 get nothing.
BATCHES = (8, 8, 7, 8, 2, 1, 8)
BOUND = 1e-6
"""Bound on the difference by the order of summation in float32; 1e-7 was measured."""


@dataclass(frozen=True)
class Setup:
    """A framework and a strategy under test.

    Attributes:
        framework: framework that makes the learners.
        engine: name of the collective; it is insisted on.
        models: models that are trained; they have parameters `body.*` and `output.*` unless they are linear.
        optimizers: optimizers, each with its learning rate.
        open_strategy: function that opens the strategy on a group.
    """

    framework: Framework
    engine: str
    models: tuple[Model, ...] = (MLP,)
    optimizers: tuple[tuple[Optimizer, float], ...] = ((SGD, 0.05), (ADAM, 0.01))
    open_strategy: Callable[..., SynchronisationStrategy] = open_strategy


def replica_on(
    setup: Setup,
    group: Communicator,
    model: Model | None = None,
    optimizer: Optimizer | None = None,
    compression: str = "none",
    **settings,
) -> Replica:
    """Makes a replica on a group, with the same parameters on every rank."""
    made = LearnerSettings(optimizer or setup.optimizers[0][0], **{"seed": 3, **settings})
    learner = setup.framework.learner(Leaf(model or setup.models[0]), {"input": IMAGE}, CLASSES, made)
    synchronisation = StrategySettings(f"{setup.engine}!", compression)
    strategy = setup.open_strategy(synchronisation, learner, setup.framework, group)
    replica = Replica(learner, strategy, weighted_sum(CLASSES))
    replica.synchronise()
    return replica


@contextmanager
def opened(setup: Setup, group: Communicator, *arguments, **options) -> Iterator[Replica]:
    """Makes a replica on a group for as long as the block lasts; see `replica_on`."""
    replica = replica_on(setup, group, *arguments, **options)
    try:
        yield replica
    finally:
        replica.close()


def batches(seed: int = 1) -> list[StepInput]:
    """The global batches of a few steps, with a weight for each sample."""
    generator = np.random.default_rng(seed)
    return [
        StepInput(
            {"input": generator.normal(size=(size, *IMAGE)).astype(np.float32)},
            (generator.integers(0, 3, size),),
            generator.uniform(0.5, 1.5, size).astype(np.float32),
            size,
        )
        for size in BATCHES
    ]


def dealt(batch: StepInput, rank: int, ranks: int) -> StepInput:
    """The share of one rank, as `data.batches` deals it: a rank without a sample gets one of weight 0."""
    mine = shard(np.arange(batch.global_samples), rank, ranks)
    filler = len(mine) == 0
    weights = np.zeros(1, np.float32) if filler else batch.weights[mine]
    mine = np.arange(1) if filler else mine
    targets = tuple(t[mine] for t in batch.targets)
    labels = tuple(None if each is None else each[mine] for each in batch.label_weights)
    return StepInput(
        {"input": batch.inputs["input"][mine]}, targets, weights, batch.global_samples, ranks, filler, labels
    )


def train(replica: Replica, group: Communicator | None = None, rate: float = 0.05) -> dict[str, np.ndarray]:
    """Takes all steps on this rank's shares, or on whole batches, and returns the state."""
    for number, batch in enumerate(batches()):
        replica.step(batch if group is None else dealt(batch, group.rank, group.size), rate, number)
    return replica.state()


def alone(setup: Setup, start, rate: float = 0.05, **options) -> dict[str, np.ndarray]:
    """The state after the same steps on one rank with the concatenated batches, from the same parameters."""

    def run(group: Communicator) -> dict[str, np.ndarray]:
        with opened(replace(setup, engine="local", open_strategy=open_strategy), group, **options) as replica:
            replica.load_state(start)
            return train(replica, rate=rate)

    return run_ranks(1, run)[0]


def largest_difference(one: dict[str, np.ndarray], other: dict[str, np.ndarray], prefix: str = PARAMETERS) -> float:
    """The largest absolute difference of the arrays under a prefix."""
    names = {name for name in one if name.startswith(prefix)}
    assert names == {name for name in other if name.startswith(prefix)}
    return max(float(np.abs(one[name] - other[name]).max()) for name in names)


def check_steps_equal_one_rank(world: Communicator, setup: Setup) -> None:
    """After several steps a group holds the weights of one rank on the concatenated batches, short ones included."""
    for model, (optimizer, rate) in itertools.product(setup.models, setup.optimizers):
        with opened(setup, world, model, optimizer) as replica:
            start = replica.state()
            state = train(replica, world, rate)
        one = alone(setup, start, rate, model=model, optimizer=optimizer)

        assert_same_bits(world, state)
        assert largest_difference(state, start) > 0.01
        assert largest_difference(state, one) <= BOUND
        assert largest_difference(state, one, OPTIMIZER) <= BOUND


def check_steps_equal_numpy(world: Communicator, setup: Setup) -> None:
    """A linear model trained on a group holds the weights of plain numpy gradient descent on the whole batches."""
    with opened(setup, world, LINEAR, PLAIN_SGD) as replica:
        start = replica.state()
        state = train(replica, world)
    weight, bias = (start[f"{PARAMETERS}output.{name}"].astype(np.float64) for name in ("weight", "bias"))
    for batch in batches():
        inputs = batch.inputs["input"].reshape(len(batch.inputs["input"]), -1)
        scores = inputs @ weight.T + bias
        chances = np.exp(scores - scores.max(axis=1, keepdims=True))
        chances /= chances.sum(axis=1, keepdims=True)
        slopes = (chances - np.eye(3)[batch.targets[0]]) * batch.weights[:, None] / batch.global_samples
        decay = PLAIN_SGD.weight_decay
        weight, bias = (
            weight - 0.05 * (slopes.T @ inputs + decay * weight),
            bias - 0.05 * (slopes.sum(axis=0) + decay * bias),
        )

    np.testing.assert_allclose(state[f"{PARAMETERS}output.weight"], weight, rtol=0, atol=1e-5)
    np.testing.assert_allclose(state[f"{PARAMETERS}output.bias"], bias, rtol=0, atol=1e-5)
    assert largest_difference(state, start) > 0.01


def check_losses(world: Communicator, setup: Setup) -> None:
    """The shares of the ranks add up to the loss of one rank on the whole batch, for every step."""
    with opened(setup, world) as replica:
        start = replica.state()
        for number, batch in enumerate(batches()):
            replica.step(dealt(batch, world.rank, world.size), 0.05, number)
        mine = replica.collect_losses()
        nothing_left = replica.collect_losses()
        replica.state()
    total = mine.copy()
    world.Allreduce(total)

    def one(group: Communicator) -> np.ndarray:
        with opened(replace(setup, engine="local", open_strategy=open_strategy), group) as replica:
            replica.load_state(start)
            losses = []
            for number, batch in enumerate(batches()):
                replica.step(batch, 0.05, number)
                losses.append(replica.collect_losses())
        return np.concatenate(losses)

    assert nothing_left.shape == (0, 1)
    np.testing.assert_allclose(total, run_ranks(1, one)[0], rtol=1e-5)


def check_frozen(world: Communicator, setup: Setup) -> None:
    """Frozen parameters stay as they are, bit for bit; the others are trained."""
    with opened(setup, world, freeze=("body.*",)) as replica:
        start = replica.state()
        gradients = set(replica.learner.gradients())
        state = train(replica, world)

    frozen = [key for key in start if key.startswith(PARAMETERS + "body.")]
    trained = [key for key in start if key.startswith(PARAMETERS + "output.")]
    assert frozen
    assert len(trained) == 2
    assert gradients == {key.removeprefix(PARAMETERS) for key in trained}
    assert all(np.array_equal(state[key], start[key]) for key in frozen)
    assert not any(np.array_equal(state[key], start[key]) for key in trained)


def check_a_state_goes_on(world: Communicator, setup: Setup) -> None:
    """Another replica with the state of the first one goes on with the same bits."""
    with opened(setup, world) as first:
        state = train(first, world)
        expected = train(first, world)
    with opened(setup, world, seed=99) as second:
        second.load_state(state)
        loaded = second.state()
        made = train(second, world)

    for one, other in ((loaded, state), (made, expected)):
        assert one.keys() == other.keys()
        assert all(np.array_equal(one[name], other[name]) for name in one)


CHECKS = [value for name, value in list(globals().items()) if name.startswith("check_")]


def check_halves_are_close(world: Communicator, setup: Setup) -> None:
    """Gradients that travelled as float16 lead to weights near those of float32, equal on all ranks."""
    with opened(setup, world, compression="fp16") as replica:
        start = replica.state()
        state = train(replica, world)
        compression, skipped = replica.strategy.facts.compression, replica.skipped_steps
    one = alone(setup, start)

    assert compression == ("none (one rank)" if world.size == 1 else "fp16")
    assert skipped == 0
    assert_same_bits(world, state)
    assert largest_difference(state, start) > 0.01
    assert largest_difference(state, one) <= 1e-3


def check_overflow_skips_everywhere(world: Communicator, setup: Setup) -> None:
    """A gradient of 1e6 on the last rank alone: no rank takes the step, all halve the scale and go on together."""
    if world.size == 1:
        return
    with opened(setup, world, compression="fp16") as replica:
        first, *others = (dealt(batch, world.rank, world.size) for batch in batches())
        replica.step(first, 0.05, 0)
        before = replica.state()
        last = world.rank == world.size - 1
        weights = np.where(last, 1e9, 1.0) * first.weights
        replica.step(StepInput(first.inputs, first.targets, weights.astype(np.float32), first.global_samples), 0.05, 1)
        skipped = replica.skipped_steps
        after = replica.state()
        for number, batch in enumerate(others):
            replica.step(batch, 0.05, 2 + number)
        end = replica.state()

    assert skipped == 1
    assert after[LOSS_SCALE].tolist() == [before[LOSS_SCALE][0] / 2, 0]
    assert all(np.array_equal(after[key], before[key]) for key in before if key != LOSS_SCALE)
    assert_same_bits(world, end)
    assert largest_difference(end, after) > 0.01
    assert all(np.isfinite(array).all() for array in end.values())


def check_auto_agrees(world: Communicator, setup: Setup) -> None:
    """The gain by float16 is measured, and all ranks believe the same."""
    with opened(setup, world, compression="auto") as replica:
        state = train(replica, world)
        said = replica.strategy.facts.compression

    assert set(world.allgather(said)) == {said}
    assert said in {"none (one rank)", "none (fp16 measured slower)", "fp16 (measured faster)"}
    assert_same_bits(world, state)


ALLREDUCE_CHECKS = [value for name, value in list(globals().items()) if name.startswith("check_")]

"""What every engine keeps, and every learner on top of one: one list of checks for all engines, at any group size.

Each check is called on all ranks with a communicator and the name of an engine: by `test_engines.py` on ranks that are
threads, with the one engine that needs no MPI, and by the program `tests/mpi/check_engines.py` with every engine.
"""

from __future__ import annotations

import itertools
import random
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from layouts import has_default_layout
from own_blocks import mx

from hpcmtl.communicators.inproc import run_ranks
from hpcmtl.data.shard import shard
from hpcmtl.exchange.store import PARAMETERS
from hpcmtl.jobfile.schema import Optimizer
from hpcmtl.networks.description import Leaf
from hpcmtl.networks.models import ConvNet, Mlp, UserModel
from hpcmtl.networks.objective import Objective
from hpcmtl.training.gluon.engines.base import LocalEngine
from hpcmtl.training.gluon.engines.select import Choice, open_engine
from hpcmtl.training.gluon.learner import LOSS_SCALE, OPTIMIZER, GluonLearner
from hpcmtl.training.learner import LearnerSettings, StepInput

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hpcmtl.communicators.base import Communicator
    from hpcmtl.training.gluon.engines.base import Engine

IMAGE = (1, 6, 6)
MLP = Mlp(widths=(8,), outputs=3, activation="tanh")
CONVNET = ConvNet(channels=(4,), widths=(8,), outputs=3)
NORMALISED = UserModel(name="own_blocks:normalised")
SGD = Optimizer(name="sgd", learning_rate=0.05, options={"momentum": 0.9})
ADAM = Optimizer(name="adam", learning_rate=0.01)
CLASSES = (Objective("main", "", "softmax_ce", 1.0, ()),)

# 8 is even for 2 and 4 ranks and uneven for 3; of a batch of 2 or 1 some ranks of 2, 3 and 4 get nothing.
BATCHES = (8, 8, 7, 8, 2, 1, 8)


@contextmanager
def opened(name: str, group: Communicator) -> Iterator[Engine]:
    """Open an engine on a group for as long as the block lasts."""
    engine = open_engine(Choice(name, "asked for by a test"), group)
    try:
        yield engine
    finally:
        mx.nd.waitall()
        engine.close()


def learner_on(group: Communicator, engine: Engine, model=CONVNET, optimizer=SGD, **settings) -> GluonLearner:
    """Make a learner on an open engine, with the same parameters on every rank."""
    made = LearnerSettings(optimizer, engine.name, **{"seed": 3, **settings})
    learner = GluonLearner((Leaf(model), IMAGE), CLASSES, made, (Choice(engine.name, ""), engine), group)
    learner.synchronise()
    return learner


def batches(seed: int = 1) -> list[StepInput]:
    """The global batches of a few steps, with a weight for each sample."""
    generator = np.random.default_rng(seed)
    return [
        StepInput(
            generator.normal(size=(size, *IMAGE)).astype(np.float32),
            (generator.integers(0, 3, size),),
            generator.uniform(0.5, 1.5, size).astype(np.float32),
            size,
        )
        for size in BATCHES
    ]


def dealt(batch: StepInput, rank: int, ranks: int) -> StepInput:
    """The share of one rank, as `data.batches` deals it: a rank without a sample gets one of weight 0."""
    mine = shard(np.arange(batch.global_samples), rank, ranks)
    weights = batch.weights[mine] if len(mine) else np.zeros(1, np.float32)
    mine = mine if len(mine) else np.arange(1)
    return StepInput(batch.inputs[mine], tuple(t[mine] for t in batch.targets), weights, batch.global_samples)


def train(learner: GluonLearner, group: Communicator | None = None, rate: float = 0.05) -> dict[str, np.ndarray]:
    """Take all steps on this rank's shares, or on whole batches, and return the state."""
    for batch in batches():
        learner.step(batch if group is None else dealt(batch, group.rank, group.size), rate)
    return learner.state()


def alone(model, optimizer, start, rate: float = 0.05) -> dict[str, np.ndarray]:
    """The state after the same steps on one rank with the concatenated batches, from the same parameters."""

    def run(group: Communicator) -> dict[str, np.ndarray]:
        learner = learner_on(group, LocalEngine(), model, optimizer)
        learner.load_state(start)
        return train(learner, rate=rate)

    return run_ranks(1, run)[0]


def assert_same_bits(group: Communicator, arrays: dict[str, np.ndarray]) -> None:
    """Every rank holds the very same numbers."""
    for name, array in arrays.items():
        first = group.bcast(array)
        same = array.tobytes() == first.tobytes()
        assert all(group.allgather(same)), f"{name} differs between ranks: {group.allgather(array)}"


def largest_difference(one: dict[str, np.ndarray], other: dict[str, np.ndarray], prefix: str = PARAMETERS) -> float:
    """The largest absolute difference of the arrays under a prefix."""
    names = {name for name in one if name.startswith(prefix)}
    assert names == {name for name in other if name.startswith(prefix)}
    return max(float(np.abs(one[name] - other[name]).max()) for name in names)


def check_mean(world: Communicator, name: str) -> None:
    """Arrays of both precisions, of any shapes and in one call, hold their mean over the group, equal on all ranks."""
    shapes = [(3, 4), (1,), (2, 3, 3, 3), (1000,), (3, 4)]
    kinds = ["float32", "float16", "float32", "float16", "float16"]
    generator = np.random.default_rng(5)
    # Drawn for every rank on every rank, so that each knows what the others hold.
    values = [
        [generator.normal(size=shape).astype(kind) for shape, kind in zip(shapes, kinds, strict=True)]
        for _ in range(world.size)
    ]
    with opened(name, world) as engine:
        arrays = [mx.nd.array(value, dtype=value.dtype) for value in values[world.rank]]
        engine.mean(arrays)
        made = [array.asnumpy() for array in arrays]

    for index, (array, kind) in enumerate(zip(made, kinds, strict=True)):
        mean = np.mean([value[index].astype(np.float64) for value in values], axis=0)
        assert array.dtype == kind
        np.testing.assert_allclose(array, mean, rtol=0, atol=1e-6 if kind == "float32" else 4e-3)
    assert_same_bits(world, {str(index): array for index, array in enumerate(made)})


def check_mean_of_large_halves(world: Communicator, name: str) -> None:
    """It is the mean that travels and not the sum: float16 numbers near the largest there is do not overflow."""
    with opened(name, world) as engine:
        array = mx.nd.full((5,), 60000, dtype="float16")
        engine.mean([array])
        made = array.asnumpy()

    np.testing.assert_allclose(made.astype(np.float64), 60000, rtol=2e-3)


def check_mean_again_and_again(world: Communicator, name: str) -> None:
    """Calls that follow each other, unwaited for and on other arrays, do not meet."""
    with opened(name, world) as engine:
        arrays = [mx.nd.full((size,), world.rank + size, dtype="float32") for size in (1, 5, 300, 70000)]
        for _ in range(10):
            for array in arrays:
                engine.mean([array])
        made = [array.asnumpy() for array in arrays]

    for array in made:
        np.testing.assert_allclose(array, (world.size - 1) / 2 + array.size, rtol=1e-6)


def check_broadcast(world: Communicator, name: str) -> None:
    """All ranks get the arrays of the first, bit for bit, in both precisions."""
    generator = np.random.default_rng(world.rank)
    values = {kind: generator.normal(size=(7, 3)).astype(kind) for kind in ("float32", "float16")}
    with opened(name, world) as engine:
        arrays = {kind: mx.nd.array(value, dtype=kind) for kind, value in values.items()}
        engine.broadcast(list(arrays.values()))
        made = {kind: array.asnumpy() for kind, array in arrays.items()}

    assert_same_bits(world, made)
    if world.rank == 0:
        assert all(np.array_equal(made[kind], values[kind]) for kind in values)


def check_broadcast_after_an_evaluation(world: Communicator, name: str) -> None:
    """An inference forward takes the convolution's weights out of the default layout; a broadcast brings them back."""
    with opened(name, world) as engine:
        learner = learner_on(world, engine, ConvNet(channels=(16, 32), outputs=3))
        learner.outputs(batches()[0].inputs)
        weights = [parameter.data() for parameter in learner.parameters.values()]
        mx.nd.waitall()
        before = [has_default_layout(array) for array in weights]
        values = [array.asnumpy() for array in weights]
        engine.broadcast(weights)
        mx.nd.waitall()
        after = [has_default_layout(array) for array in weights]

    assert not all(before), "nothing was out of its layout, so nothing was tested"
    assert all(after) or isinstance(engine, LocalEngine)
    assert all(np.array_equal(array.asnumpy(), value) for array, value in zip(weights, values, strict=True))


def check_changing_groups(world: Communicator, name: str) -> None:
    """Engines open and close on one group after the other, and each time the mean is over this group alone."""
    generator = random.Random(11)  # the same on all ranks: they draw the same groups
    for tag in range(12):
        members = sorted(generator.sample(range(world.size), generator.randint(1, world.size)))
        if world.rank not in members or (name == "local" and len(members) > 1):
            continue
        group = world.create_group(members, tag)
        with opened(name, group) as engine:
            array = mx.nd.full((50,), 3.0 * world.rank)
            engine.mean([array])
            told = mx.nd.full((4,), world.rank)
            engine.broadcast([told])
            mean, first = array.asnumpy(), told.asnumpy()
        group.free()

        np.testing.assert_allclose(mean, 3.0 * np.mean(members), rtol=1e-6)
        assert (first == members[0]).all()


def check_steps_equal_one_rank(world: Communicator, name: str) -> None:
    """After several steps a group holds the weights of one rank on the concatenated batches, short ones included.

    The order of summation differs, so that the bound is that of float32 rounding; measured were 1e-7.
    """
    bound = 1e-6
    for model, (optimizer, rate) in itertools.product([MLP, CONVNET], [(SGD, 0.05), (ADAM, 0.01)]):
        with opened(name, world) as engine:
            learner = learner_on(world, engine, model, optimizer)
            start = learner.state()
            state = train(learner, world, rate)
        one = alone(model, optimizer, start, rate)

        assert_same_bits(world, state)
        assert largest_difference(state, start) > 0.01
        assert largest_difference(state, one) <= bound
        assert largest_difference(state, one, OPTIMIZER) <= bound


def check_losses(world: Communicator, name: str) -> None:
    """The shares of the ranks add up to the loss of one rank on the whole batch, for every step."""
    with opened(name, world) as engine:
        learner = learner_on(world, engine)
        start = learner.state()
        for batch in batches():
            learner.step(dealt(batch, world.rank, world.size), 0.05)
        mine = learner.collect_losses()
        nothing_left = learner.collect_losses()
        learner.state()
    total = mine.copy()
    world.Allreduce(total)

    def one(group: Communicator) -> np.ndarray:
        learner = learner_on(group, LocalEngine())
        learner.load_state(start)
        losses = []
        for batch in batches():
            learner.step(batch, 0.05)
            losses.append(learner.collect_losses())
        return np.concatenate(losses)

    assert nothing_left.shape == (0, 1)
    np.testing.assert_allclose(total, run_ranks(1, one)[0], rtol=1e-5)


def check_halves_are_close(world: Communicator, name: str) -> None:
    """Gradients that travelled as float16 lead to weights near those of float32, equal on all ranks."""
    with opened(name, world) as engine:
        learner = learner_on(world, engine, compression="fp16")
        start = learner.state()
        state = train(learner, world)
        compression, skipped = learner.compression, learner.skipped_steps
    one = alone(CONVNET, SGD, start)

    assert compression == ("none (one rank)" if world.size == 1 else "fp16")
    assert skipped == 0
    assert_same_bits(world, state)
    assert largest_difference(state, start) > 0.01
    assert largest_difference(state, one) <= 1e-3


def check_overflow_skips_everywhere(world: Communicator, name: str) -> None:
    """A gradient of 1e6 on the last rank alone: no rank takes the step, all halve the scale and go on together."""
    if world.size == 1:
        return
    with opened(name, world) as engine:
        learner = learner_on(world, engine, compression="fp16")
        first, *others = (dealt(batch, world.rank, world.size) for batch in batches())
        learner.step(first, 0.05)
        before = learner.state()
        last = world.rank == world.size - 1
        weights = np.where(last, 1e9, 1.0) * first.weights
        learner.step(StepInput(first.inputs, first.targets, weights.astype(np.float32), first.global_samples), 0.05)
        skipped = learner.skipped_steps
        after = learner.state()
        for batch in others:
            learner.step(batch, 0.05)
        end = learner.state()

    assert skipped == 1
    assert after[LOSS_SCALE].tolist() == [before[LOSS_SCALE][0] / 2, 0]
    assert all(np.array_equal(after[key], before[key]) for key in before if key != LOSS_SCALE)
    assert_same_bits(world, end)
    assert largest_difference(end, after) > 0.01
    assert all(np.isfinite(array).all() for array in end.values())


class _Listening:
    """An engine that notes what it is given."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.name, self.size = engine, engine.name, engine.size
        self.shapes: list[tuple[int, ...]] = []

    def mean(self, arrays) -> None:
        self.shapes += [array.shape for array in arrays]
        self.engine.mean(arrays)

    def broadcast(self, arrays) -> None:
        self.engine.broadcast(arrays)


def check_frozen(world: Communicator, name: str) -> None:
    """Frozen parameters stay as they are, bit for bit, and are not communicated; the others are trained."""
    with opened(name, world) as engine:
        listening = _Listening(engine)
        learner = learner_on(world, listening, freeze=("body.*",))
        start = learner.state()
        state = train(learner, world)
        shapes = {tuple(parameter.shape) for n, parameter in learner.parameters.items() if n.startswith("output.")}

    frozen = [key for key in start if key.startswith(PARAMETERS + "body.")]
    trained = [key for key in start if key.startswith(PARAMETERS + "output.")]
    assert len(frozen) == 4
    assert len(trained) == 2
    assert all(np.array_equal(state[key], start[key]) for key in frozen)
    assert not any(np.array_equal(state[key], start[key]) for key in trained)
    assert set(listening.shapes) == shapes


def check_auto_agrees(world: Communicator, name: str) -> None:
    """Whether float16 pays is measured, and all ranks believe the same."""
    with opened(name, world) as engine:
        learner = learner_on(world, engine, compression="auto")
        state = train(learner, world)
        said = learner.compression

    assert set(world.allgather(said)) == {said}
    assert said in {"none (one rank)", "none (fp16 measured slower)", "fp16 (measured faster)"}
    assert_same_bits(world, state)


def check_running_statistics(world: Communicator, name: str) -> None:
    """Batch normalisation keeps statistics of each rank's own batches; the state has their mean, equal on all ranks.

    The state is asked for while the last step is still under way.
    """
    with opened(name, world) as engine:
        learner = learner_on(world, engine, NORMALISED)
        start = learner.state()
        for _ in range(5):
            state = train(learner, world)

    assert_same_bits(world, state)
    running = [key for key in state if "running" in key]
    assert len(running) == 2
    assert not any(np.array_equal(state[key], start[key]) for key in running)


def check_frozen_statistics(world: Communicator, name: str) -> None:
    """Frozen running statistics stay as they are, bit for bit, and at home; what is not frozen is trained."""
    with opened(name, world) as engine:
        listening = _Listening(engine)
        learner = learner_on(world, listening, NORMALISED, freeze=("1.*",))
        start = learner.state()
        state = train(learner, world)

    frozen = [key for key in start if key.startswith(PARAMETERS + "1.")]
    assert len(frozen) == 4
    assert set(listening.shapes) == {(4, 1, 3, 3), (4,), (3, 144), (3,)}
    assert all(np.array_equal(state[key], start[key]) for key in frozen)
    assert not np.array_equal(state[PARAMETERS + "4.weight"], start[PARAMETERS + "4.weight"])
    assert_same_bits(world, state)


CHECKS = [value for name, value in list(globals().items()) if name.startswith("check_")]

"""Checks of Gluon learners on groups: convolutions, batch normalisation, memory layout, special parameters."""

from __future__ import annotations

import importlib
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import replica_suite as suite
from collective_suite import assert_same_bits
from layouts import has_default_layout
from normalised_suite import DECAYING, Case
from own_blocks import mx

from hpcmtl.exchange.store import PARAMETERS
from hpcmtl.networks.models import ConvNet, UserModel
from hpcmtl.training.gluon.framework import GluonFramework

if TYPE_CHECKING:
    from hpcmtl.communicators.base import Communicator
    from hpcmtl.training.collectives.base import Collective, CollectiveFactory

CONVNET = ConvNet(channels=(4,), widths=(8,), outputs=3)
NORMALISED = UserModel(name="own_blocks:normalised")
SPECIAL = UserModel(name="own_blocks:Special")
CSR = UserModel(name="own_blocks:SparseProduct", gradients="csr")


def setup(engine: str) -> suite.Setup:
    """Gluon with a collective; the first model is convolutional."""
    return suite.Setup(GluonFramework(), engine, models=(CONVNET, suite.MLP))


def plain_steps(model: UserModel, start, given):
    """The parameters of a plain Gluon script after its own steps on whole batches, from the same parameters."""
    module, attribute = model.name.split(":")
    block = getattr(importlib.import_module(module), attribute)()
    block.initialize()
    block(mx.nd.array(given[0].inputs["input"]))
    named = block._collect_params_with_prefix()
    for name, parameter in named.items():
        parameter.set_data(mx.nd.array(start[PARAMETERS + name]))
    options = {"learning_rate": 0.05, "wd": 0.01, "momentum": 0.9}
    trainer = mx.gluon.Trainer(block.collect_params(), "sgd", options, kvstore=None)
    loss = mx.gluon.loss.SoftmaxCrossEntropyLoss()
    for batch in given:
        with mx.autograd.record():
            losses = loss(block(mx.nd.array(batch.inputs["input"])), mx.nd.array(batch.targets[0]))
        losses.backward(mx.nd.array(batch.weights))
        trainer.step(batch.global_samples, ignore_stale_grad=True)
    return {PARAMETERS + name: parameter.data().asnumpy() for name, parameter in named.items()}


def normalised_case(engine: str = "mpi") -> Case:
    """Batch normalisation over a group with Gluon."""
    names = ("own_blocks:normalised", "own_normalised:Residual", "own_normalised:Channels")
    names += ("own_normalised:channels_last", "own_normalised:Stopped", "own_blocks:normalised_beside")
    return Case(
        setup=setup(engine),
        models=tuple(UserModel(name=name) for name in names),
        twice=UserModel(name="own_blocks:normalised_twice"),
        dense=UserModel(name="own_normalised:dense_normalised"),
        plain_steps=plain_steps,
    )


class _Recording:
    """A collective that records the shapes of the arrays that it takes the mean of."""

    def __init__(self, collective: Collective) -> None:
        self.collective, self.name, self.size = collective, collective.name, collective.size
        self.takes = collective.takes
        self.shapes: set[tuple[int, ...]] = set()

    def mean(self, arrays) -> None:
        self.shapes |= {tuple(array.shape) for array in arrays}
        self.collective.mean(arrays)

    def broadcast(self, arrays) -> None:
        self.collective.broadcast(arrays)

    def close(self) -> None:
        self.collective.close()


class _RecordingFramework(GluonFramework):
    """Gluon whose collectives record what they do."""

    def __init__(self) -> None:
        self.opened: list[_Recording] = []

    def collectives(self):
        return {name: replace(each, open=self._opener(each)) for name, each in super().collectives().items()}

    def _opener(self, factory: CollectiveFactory):
        def opened(group: Communicator) -> _Recording:
            self.opened.append(_Recording(factory.open(group)))
            return self.opened[-1]

        return opened


def check_broadcast_after_an_evaluation(world: Communicator, engine: str) -> None:
    """An inference forward takes the convolution's weights out of the default layout; a broadcast brings them back."""
    with suite.opened(setup(engine), world, ConvNet(channels=(16, 32), outputs=3)) as replica:
        replica.learner.outputs(suite.batches()[0].inputs)
        weights = replica.learner.native("parameters")
        mx.nd.waitall()
        before = [has_default_layout(array) for array in weights]
        values = [array.asnumpy() for array in weights]
        replica.synchronise()
        mx.nd.waitall()
        after = [has_default_layout(array) for array in weights]

    assert not all(before), "nothing was out of its layout, so nothing was tested"
    assert all(after) or engine == "local"
    assert all(np.array_equal(array.asnumpy(), value) for array, value in zip(weights, values, strict=True))


def check_only_trained_parameters_travel(world: Communicator, engine: str) -> None:
    """Gradients of frozen parameters are not communicated."""
    if engine not in GluonFramework().collectives():
        return
    framework = _RecordingFramework()
    with suite.opened(replace(setup(engine), framework=framework), world, freeze=("body.*",)) as replica:
        suite.train(replica, world)
        parameters = replica.learner.parameters
        shapes = {tuple(each.shape) for name, each in parameters.items() if name.startswith("output.")}

    assert framework.opened[0].shapes == shapes


def check_running_statistics(world: Communicator, engine: str) -> None:
    """Batch normalisation keeps statistics of each rank's own batches; the state has their mean, equal on all ranks.

    The state is asked for while the last step is still under way.
    """
    with suite.opened(setup(engine), world, NORMALISED) as replica:
        start = replica.state()
        for _ in range(5):
            state = suite.train(replica, world)

    assert_same_bits(world, state)
    running = [key for key in state if "running" in key]
    assert len(running) == 2
    assert not any(np.array_equal(state[key], start[key]) for key in running)


def check_frozen_statistics(world: Communicator, engine: str) -> None:
    """Frozen running statistics stay as they are, bit for bit, and at home; what is not frozen is trained."""
    framework = _RecordingFramework()
    with suite.opened(replace(setup(engine), framework=framework), world, NORMALISED, freeze=("1.*",)) as replica:
        start = replica.state()
        state = suite.train(replica, world)

    frozen = [key for key in start if key.startswith(PARAMETERS + "1.")]
    assert len(frozen) == 4
    assert all(each.shapes == {(4, 1, 3, 3), (4,), (3, 144), (3,)} for each in framework.opened)
    assert all(np.array_equal(state[key], start[key]) for key in frozen)
    assert not np.array_equal(state[PARAMETERS + "4.weight"], start[PARAMETERS + "4.weight"])
    assert_same_bits(world, state)


def check_kinds_of_parameters(world: Communicator, engine: str) -> None:
    """Tied, sparse, fixed and unused parameters take the steps of one rank, or nearly so where they are halves."""
    settings = replace(setup(engine), models=(SPECIAL, CSR), optimizers=((DECAYING, 0.05),))
    suite.check_steps_equal_one_rank(world, settings)
    with suite.opened(settings, world, compression="fp16") as replica:
        start = replica.state()
        state = suite.train(replica, world)

    assert_same_bits(world, state)
    assert suite.largest_difference(state, suite.alone(settings, start)) <= 2e-3


def check_tied_statistics(world: Communicator, engine: str) -> None:
    """Running statistics with two names are averaged once, and are equal under both."""
    with suite.opened(setup(engine), world, UserModel(name="own_blocks:normalised_twice")) as replica:
        start = replica.state()
        state = suite.train(replica, world)

    running = [f"{PARAMETERS}1.running_{name}" for name in ("mean", "var")]
    assert_same_bits(world, state)
    assert not any(np.array_equal(state[name], start[name]) for name in running)
    assert all(np.array_equal(state[name], state[name.replace("1.", "3.")]) for name in running)


CHECKS = [value for name, value in list(globals().items()) if name.startswith("check_")]

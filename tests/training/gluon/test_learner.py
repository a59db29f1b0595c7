"""A learner's state goes round, parameters are taken over and frozen as asked, and dropout repeats when told to."""

from __future__ import annotations

from dataclasses import replace

import gluon_suite
import numpy as np
import pytest
import replica_suite as suite

from hpcmtl.communicators.inproc import run_ranks
from hpcmtl.errors import InputError
from hpcmtl.exchange.store import PARAMETERS
from hpcmtl.jobfile.tasks import Optimizer
from hpcmtl.networks.description import Leaf, Shared
from hpcmtl.networks.models import ConvNet, Mlp
from hpcmtl.networks.parameter_mapping import ParameterMapping
from hpcmtl.training.frameworks import open_framework
from hpcmtl.training.learner import OPTIMIZER
from hpcmtl.training.learner_settings import LearnerSettings
from hpcmtl.training.strategies.allreduce import LOSS_SCALE
from hpcmtl.training.streams import RandomStreams

DROPPING = Mlp(widths=(16,), outputs=3, dropout=0.5)


@pytest.fixture
def solo():
    """A group of one."""
    return run_ranks(1, lambda group: group)[0]


def replica(group, model=gluon_suite.CONVNET, optimizer=suite.SGD, **settings):
    """A replica on one rank."""
    return suite.replica_on(gluon_suite.setup("local"), group, model, optimizer, **settings)


def same(one, other):
    """Returns true if two states have the same names and bits."""
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("name", ["sgd", "adam", "lamb"])
def test_state_goes_round(solo, name):
    """A new learner with the state of an old one goes on with the same bits, schedule of moments included."""
    optimizer = Optimizer(name=name, learning_rate=0.01)
    old = replica(solo, optimizer=optimizer)
    state = suite.train(old)
    new = replica(solo, optimizer=optimizer, seed=99)
    new.load_state(state)
    loaded = new.state()

    assert same(loaded, state)
    assert same(suite.train(new), suite.train(old))
    assert {key.split("/")[0] for key in state} == {PARAMETERS[:-1], OPTIMIZER[:-1], LOSS_SCALE}


def test_a_state_is_a_copy(solo):
    """Steps that follow do not change a state that was taken."""
    trained = replica(solo)
    state = trained.state()
    kept = {name: array.copy() for name, array in state.items()}
    suite.train(trained)

    assert same(state, kept)


def test_the_loss_scale_is_part_of_the_state(solo):
    """A learner goes on with the scale of the one before."""
    trained = replica(solo)
    state = trained.state()
    state[LOSS_SCALE] = np.array([64.0, 17.0])
    trained.load_state(state)

    assert trained.state()[LOSS_SCALE].tolist() == [64.0, 17.0]


def test_losses_are_of_each_step(solo):
    """Losses that are asked for after many steps are those that each step had."""
    one, other = replica(solo), replica(solo)
    at_once, one_by_one = [], []
    for number, batch in enumerate(suite.batches()):
        one.step(batch, 0.05, number)
        other.step(batch, 0.05, number)
        one_by_one.append(other.collect_losses())
    at_once = one.collect_losses()

    assert at_once.shape == (len(suite.BATCHES), 1)
    assert len(np.unique(at_once)) > 1
    np.testing.assert_array_equal(at_once, np.concatenate(one_by_one))


def test_take_over_by_prefix(solo):
    """The parameters under one name of the producer become those under another; the rest stays."""
    producer = replica(solo, seed=1).state()
    consumer = replica(solo, seed=2)
    before = consumer.state()
    count = consumer.learner.load_mapped(producer, ParameterMapping("trunk", take="body.0.", into="body.0."))
    after = consumer.state()
    taken = {PARAMETERS + "body.0.weight", PARAMETERS + "body.0.bias"}

    assert count == 2
    for name in after:
        assert np.array_equal(after[name], producer[name] if name in taken else before[name])


def test_take_over_by_pattern(solo):
    """A pattern of names chooses among them."""
    producer = replica(solo, seed=1).state()
    consumer = replica(solo, seed=2)

    assert consumer.learner.load_mapped(producer, ParameterMapping("trunk", pattern="*.weight")) == 3
    assert np.array_equal(consumer.state()[PARAMETERS + "output.weight"], producer[PARAMETERS + "output.weight"])


def test_take_over_of_another_shape_is_refused(solo):
    """The message names both parameters and both shapes."""
    producer = replica(solo, model=ConvNet(channels=(5,), widths=(8,), outputs=3)).state()

    with pytest.raises(InputError, match=r"parameter body.0.\w+ of trunk has shape \(5,.*body.0.\w+ has \(4,"):
        replica(solo).learner.load_mapped(producer, ParameterMapping("trunk"))


def test_take_over_of_nothing_is_refused(solo):
    """A pattern that matches nothing is told the names that there are."""
    producer = replica(solo).state()

    with pytest.raises(InputError, match="no parameter matches 'encoder.*'; this network has .*output.weight"):
        replica(solo).learner.load_mapped(producer, ParameterMapping("trunk", pattern="encoder.*"))


def test_a_freeze_that_matches_nothing_is_refused(solo):
    """A misspelled pattern is told what it may have meant."""
    with pytest.raises(InputError, match="freeze outputs.weight: matches no parameter; did you mean 'output.weight'"):
        replica(solo, freeze=("body.*", "outputs.weight"))


def test_freezing_everything_is_refused(solo):
    """A task that trains nothing is a mistake."""
    with pytest.raises(InputError, match="freeze: body.*, output.* leaves no parameter to train"):
        replica(solo, freeze=("body.*", "output.*"))


def test_dropout_follows_the_streams(solo):
    """The same streams drop the same units, streams of another seed others; an evaluation drops none."""
    ends = []
    for seed in (5, 5, 6):
        trained = replica(solo, DROPPING)
        trained.streams = RandomStreams(seed)
        ends.append(suite.train(trained))
    inputs = suite.batches()[0].inputs["input"]
    outputs = [trained.learner.outputs({"input": inputs})["main"] for _ in range(2)]

    assert same(ends[0], ends[1])
    assert not same(ends[0], ends[2])
    assert np.array_equal(*outputs)


def test_evaluations_in_between_change_nothing(solo):
    """A training that is evaluated after every step takes the same course."""
    plain, evaluated = replica(solo), replica(solo)
    for number, batch in enumerate(suite.batches()):
        plain.step(batch, 0.05, number)
        evaluated.step(batch, 0.05, number)
        evaluated.learner.outputs(batch.inputs)

    assert same(plain.state(), evaluated.state())


def test_inner_products_change_statistics_once():
    """Running statistics of trunk and heads are updated as by an ordinary step, though the trunk has several passes."""
    names, settings = ("one", "two", "three"), LearnerSettings(suite.PLAIN_SGD, seed=3)
    network = Shared(Leaf(gluon_suite.NORMALISED), [(name, Leaf(Mlp(widths=(4,), outputs=3))) for name in names])
    objectives = [replace(suite.CLASSES[0], name=n) for n in names]
    framework, batch = open_framework("gluon"), suite.batches()[0]
    batch = replace(batch, targets=batch.targets * 3)
    ordinary, by_products = (framework.learner(network, {"input": suite.IMAGE}, objectives, settings) for _ in range(2))
    ordinary.forward_backward(batch, [1.0, 1.0, 1.0], 1.0)
    products = by_products.inner_products(batch, [1.0, 1.0, 1.0], 1.0)
    assert products is not None
    products.combine([1.0, 1.0, 1.0])
    gradients = {name: array.copy() for name, array in by_products.gradients().items()}
    statistics = ordinary.views("statistics")

    assert [name for name in statistics if "running" in name] == list(statistics)
    for name, array in by_products.views("statistics").items():
        np.testing.assert_array_equal(array, statistics[name])
    for name, array in ordinary.gradients().items():
        np.testing.assert_allclose(gradients[name], array, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_gradients_of_objectives_change_statistics_once(dropout):
    """Running statistics are updated as by an ordinary step, however many passes the objectives need."""
    names, settings = ("one", "two", "three"), LearnerSettings(suite.PLAIN_SGD, seed=3)
    heads = tuple((name, Leaf(Mlp(widths=(4,), outputs=3, dropout=dropout))) for name in names)
    network, objectives = (
        Shared(Leaf(gluon_suite.NORMALISED), heads),
        [replace(suite.CLASSES[0], name=n) for n in names],
    )
    framework, batch = open_framework("gluon"), suite.batches()[0]
    batch = replace(batch, targets=batch.targets * 3)
    ordinary, by_rows = (framework.learner(network, {"input": suite.IMAGE}, objectives, settings) for _ in range(2))
    for learner in (ordinary, by_rows):
        learner.reseed(5)
    ordinary.forward_backward(batch, [1.0, 1.0, 1.0], 1.0)
    rows = np.zeros((3, 100_000), np.float32)
    assert list(by_rows.backward_each(batch, [1.0, 1.0, 1.0], 1.0, rows)) == [0, 1, 2]
    statistics = ordinary.views("statistics")

    assert [name for name in statistics if "running" in name] == list(statistics)
    for name, array in by_rows.views("statistics").items():
        np.testing.assert_array_equal(array, statistics[name])

"""A batch without a label of an objective measures nothing of it, and changes nothing for the other objectives."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import replica_suite as suite
from weighting_steps import weights_for

from hpcmtl.communicators.inproc import run_ranks
from hpcmtl.networks.description import Leaf, Shared
from hpcmtl.networks.models import Mlp
from hpcmtl.networks.objective import Objective
from hpcmtl.training.frameworks import open_framework
from hpcmtl.training.learner_settings import LearnerSettings
from hpcmtl.training.multitask.known_losses import KnownLosses, labelled_in
from hpcmtl.training.multitask.methods import make_method
from hpcmtl.training.multitask.step_gradients import StepGradients
from hpcmtl.training.multitask.weightings.base import WeightingSetup
from hpcmtl.training.replica import Replica
from hpcmtl.training.strategies.select import StrategySettings, open_strategy

BY_LOSSES = ["uncertainty", "imtl_l", "dwa", "gls", "log", "stch", "famo", "gradnorm", "db_mtl"]


NAMES = ("digit", "size", "tilt")
OBJECTIVES = tuple(Objective(name, "", "softmax_ce" if name == "digit" else "l2", 1.0, ()) for name in NAMES)
HEADS = tuple((name, Leaf(Mlp(widths=(), outputs=width))) for name, width in zip(NAMES, (3, 1, 2), strict=True))
NETWORK = Shared(Leaf(Mlp(widths=(8,), outputs=5, activation="tanh")), HEADS)


def sparse_batches():
    """Batches of which each second one, the first among them, has no label of the last objective."""
    generator, made = np.random.default_rng(9), []
    for number, each in enumerate(suite.batches()):
        numbers = [generator.normal(size=(each.global_samples, width)).astype(np.float32) for width in (1, 2)]
        labels = np.full((each.global_samples, 2), number % 2, np.float32)
        made.append(replace(each, targets=(each.targets[0], *numbers), label_weights=(None, None, labels)))
    return made


def trained(group, name, library="torch", freeze=()):
    """Weights of each step, and the state after all; each step goes on from a checkpoint."""
    framework, settings = open_framework(library), LearnerSettings(suite.PLAIN_SGD, seed=3, freeze=freeze)
    learner = framework.learner(NETWORK, {"input": suite.IMAGE}, OBJECTIVES, settings)
    gradients = StepGradients(make_method(name, {}, WeightingSetup(objectives=NAMES, seed=11)), OBJECTIVES, 2)
    replica = Replica(learner, open_strategy(StrategySettings("mpi"), learner, framework, group), gradients)
    replica.synchronise()
    weights = []
    for number, batch in enumerate(sparse_batches()):
        share = suite.dealt(batch, group.rank, group.size)
        replica.step(share, 0.05, number)
        weights.append(gradients.weights)
        gradients.load_state(replica.state())
    state = replica.state()
    replica.close()
    return np.array(weights), state


@pytest.mark.parametrize("name", BY_LOSSES)
def test_a_group_weighs_as_one_rank_where_labels_are_missing(name):
    """Which objectives have a label is known of the whole batch: a group has the weights of one rank."""
    one, state = run_ranks(1, trained, name)[0]
    many, also = run_ranks(3, trained, name)[0]

    np.testing.assert_allclose(many, one, rtol=1e-3, atol=1e-5)
    assert suite.largest_difference(also, state) < 2e-5


@pytest.mark.parametrize("name", ["gls", "famo", "log", "gradnorm"])
def test_other_objectives_keep_their_weights_where_a_batch_has_no_label_of_one(name):
    """The weights of the others are of the size of those of a batch with all labels, not some 1e8 times smaller."""
    weights, _ = run_ranks(1, trained, name)[0]
    without, with_labels = weights[::2, :2], weights[1::2, :2]

    assert without.min() > with_labels.min() / 10
    assert weights.max() < 1e3 * weights.min()


def test_losses_of_batches_without_a_label_are_the_newest_known_ones():
    """An objective keeps the loss of its newest batch with a label; before the first it has the mean of the others."""
    known = KnownLosses(2)

    assert known.measured(np.array([0.0, 4.0]), np.array([0.0, 1.0])).tolist() == [4.0, 4.0]
    assert known.measured(np.array([2.0, 3.0]), np.array([1.0, 3.0])).tolist() == [2.0, 3.0]
    assert known.measured(np.array([0.0, 1.0]), np.array([0.0, 1.0])).tolist() == [2.0, 1.0]
    assert KnownLosses(2).measured(np.zeros(2), np.zeros(2)).tolist() == [1.0, 1.0]


def test_a_label_of_weight_zero_does_not_count():
    """Labels count that have a weight above 0, of the sample and of the label."""
    batch = sparse_batches()[0]

    assert labelled_in(batch, 3).tolist() == [1.0, 1.0, 0.0]
    assert labelled_in(replace(batch, weights=np.zeros_like(batch.weights)), 3).tolist() == [0.0, 0.0, 0.0]
    assert labelled_in(replace(batch, label_weights=()), 3).tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("library", ["torch", "gluon"])
@pytest.mark.parametrize("frozen", [("trunk.*",), ("trunk.*", "heads.size.*")])
def test_a_frozen_trunk_leaves_each_head_its_own_gradient(library, frozen):
    """Where nothing that is trained is shared, methods by gradients make the steps of the plain sum."""
    plain = run_ranks(2, trained, "equal", library, frozen)[0][1]
    for name in ("upgrad", "adatask"):
        state = run_ranks(2, trained, name, library, frozen)[0][1]
        assert suite.largest_difference(state, {key: plain[key] for key in plain.keys() & state.keys()}) < 2e-5


@pytest.mark.parametrize("solver", ["exact", "frank_wolfe"])
def test_mgda_goes_on_where_a_batch_has_no_label_of_an_objective(solver):
    """An objective without a gradient is left out, and the others have the weights that they have without it."""
    gramian = np.array([[1.0, 0.3, 0.0], [0.3, 2.0, 0.0], [0.0, 0.0, 0.0]])

    found = weights_for("mgda", gramian, solver=solver)

    assert found[2] == 0
    np.testing.assert_allclose(found[:2], weights_for("mgda", gramian[:2, :2], solver=solver))
    assert found[:2].sum() == pytest.approx(1)

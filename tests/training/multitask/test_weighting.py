"""Weightings get losses and Gramians of the group's batch, and need no change of learner, strategy or loop."""

from __future__ import annotations

import numpy as np
import pytest
import replica_suite as suite
from collective_suite import assert_same_bits

from hpcmtl.communicators.inproc import run_ranks
from hpcmtl.networks.description import Leaf, Shared
from hpcmtl.networks.models import Mlp
from hpcmtl.networks.objective import Objective
from hpcmtl.training.gluon.framework import GluonFramework
from hpcmtl.training.learner_settings import LearnerSettings
from hpcmtl.training.multitask.weighting import FixedWeights, ObjectiveMeasurements
from hpcmtl.training.replica import Replica
from hpcmtl.training.step_input import StepInput
from hpcmtl.training.strategies.select import StrategySettings, open_strategy

TWO = (Objective("digit", "", "softmax_ce", 0.25, ()), Objective("size", "", "l2", 3.0, ()))
TRUNK = Mlp(widths=(8,), outputs=5, activation="tanh")
NETWORK = Shared(Leaf(TRUNK), (("digit", Leaf(Mlp(widths=(), outputs=3))), ("size", Leaf(Mlp(widths=(), outputs=1)))))


class MinimumNorm(FixedWeights):
    """Weights of the shortest convex combination of two gradients (Sener and Koltun, NeurIPS 2018, eq. 4)."""

    needs = frozenset({"gramian"})

    def __init__(self):
        self.seen = []

    def weights(self, measured):
        (one, mixed), (_, other) = measured.gramian
        self.seen.append(measured.gramian)
        first = float(np.clip((other - mixed) / (one + other - 2 * mixed), 0, 1))
        return [first, 1 - first]


class InverseLosses(FixedWeights):
    """Weights by the inverse of a running mean of the losses."""

    needs = frozenset({"losses"})

    def __init__(self):
        self.mean = np.ones(2)
        self.seen = []

    def weights(self, measured):
        self.seen.append(measured.losses)
        if measured.losses is not None:
            self.mean = 0.5 * self.mean + 0.5 * measured.losses
        return (1 / self.mean).tolist()

    def state(self):
        return {"mean": self.mean.copy()}

    def load_state(self, state):
        self.mean = state.get("mean", np.ones(2)).copy()


def batches():
    """Batches with a class and a size for each sample."""
    generator = np.random.default_rng(9)
    return [
        StepInput(
            each.inputs,
            (each.targets[0], generator.normal(size=(each.global_samples, 1)).astype(np.float32)),
            each.weights,
            each.global_samples,
        )
        for each in suite.batches()
    ]


def replica_on(group, weighting):
    """A replica with two objectives."""
    framework = GluonFramework()
    learner = framework.learner(NETWORK, {"input": suite.IMAGE}, TWO, LearnerSettings(suite.PLAIN_SGD, seed=3))
    replica = Replica(learner, open_strategy(StrategySettings("mpi"), learner, framework, group), weighting())
    replica.synchronise()
    return replica


def trained(group, weighting, collect=False):
    """States and measurements of training on a group; the losses may be collected by the loop at any time."""
    replica = replica_on(group, weighting)
    rows = []
    for number, batch in enumerate(batches()):
        replica.step(suite.dealt(batch, group.rank, group.size), 0.05, number)
        if collect and number % 2:
            rows.append(replica.collect_losses(in_flight=number % 3))
    rows.append(replica.collect_losses())
    state = replica.state()
    assert_same_bits(group, state)
    replica.close()
    return state, replica.weighting.seen, np.concatenate(rows)


@pytest.mark.parametrize("weighting", [MinimumNorm, InverseLosses])
@pytest.mark.parametrize("ranks", [2, 3])
def test_a_group_weighs_as_one_rank_does(weighting, ranks):
    """Measurements are of the whole batch: a group has the weights, and the parameters, of one rank."""
    one, seen, losses = run_ranks(1, trained, weighting)[0]
    results = run_ranks(ranks, trained, weighting)
    many, also_seen, _ = results[0]

    assert suite.largest_difference(many, one) < 1e-5
    assert losses.shape == (len(suite.BATCHES), 2)
    np.testing.assert_allclose(sum(rows for *_, rows in results), losses, rtol=1e-4)
    for mine, theirs in zip(seen, also_seen, strict=True):
        assert (mine is None) == (theirs is None)
        assert mine is None or np.allclose(mine, theirs, rtol=1e-3, atol=1e-5)


def test_the_gramian_has_the_products_of_gradients():
    """Entry (i, j) is the product of the gradients of objectives i and j on the trunk."""

    def products(group):
        replica = replica_on(group, MinimumNorm)
        batch = batches()[0]
        found = replica.learner.objective_gradients(batch, 1 / batch.global_samples)
        replica.step(batch, 0.05, 0)
        flat = [np.concatenate([a.ravel() for a in each.values()]).astype(np.float64) for each in found]
        return replica.weighting.seen[0], [[float(one @ other) for other in flat] for one in flat]

    found, expected = run_ranks(1, products)[0]

    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_losses_do_not_depend_on_the_loop():
    """The losses of the step before are the same whether or not the loop has collected them, none of which is lost."""
    _, seen, losses = run_ranks(1, trained, InverseLosses)[0]
    _, also_seen, also = run_ranks(1, trained, InverseLosses, True)[0]

    assert seen[0] is None
    np.testing.assert_array_equal(seen[1:], losses[:-1])
    np.testing.assert_array_equal(also_seen[1:], seen[1:])
    np.testing.assert_array_equal(also, losses)


def test_a_weighting_goes_on_from_a_checkpoint():
    """Its state, and the losses that it gets next, are in the state of the replica."""

    def interrupted(group):
        first, second = replica_on(group, InverseLosses), replica_on(group, InverseLosses)
        steps = list(enumerate(batches()))
        for number, batch in steps[:3]:
            first.step(batch, 0.05, number)
        second.load_state(first.state())
        for replica in (first, second):
            for number, batch in steps[3:]:
                replica.step(batch, 0.05, number)
        return first.state(), second.state()

    one, other = run_ranks(1, interrupted)[0]

    assert one.keys() == other.keys()
    assert {"weighting/mean", "replica/step_losses"} <= one.keys()
    assert all(np.array_equal(one[name], other[name]) for name in one)


def test_fixed_weights_measure_nothing():
    """The weights of the job file are factors on losses, and cost nothing."""
    weighting = FixedWeights(TWO)

    assert list(weighting.weights(ObjectiveMeasurements())) == [0.25, 3.0]
    assert (weighting.needs, weighting.state()) == (frozenset(), {})

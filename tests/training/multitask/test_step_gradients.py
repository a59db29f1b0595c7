"""Every method gets what it needs of the whole group's batch: a group trains as one rank, and as plain numpy."""

from __future__ import annotations

import numpy as np
import pytest
import replica_suite as suite
from collective_suite import assert_same_bits
from joint_steps import FACTORS, HEADS, NETWORK, SETUP, THREE, batches, plain_gradients, replica_on, trunk_rows

from hpcmtl.communicators.inproc import run_ranks
from hpcmtl.exchange.store import PARAMETERS
from hpcmtl.networks.description import Leaf, Shared
from hpcmtl.networks.models import Mlp
from hpcmtl.training.multitask.method import CombinationMethod
from hpcmtl.training.multitask.methods import METHODS, make_method
from hpcmtl.training.multitask.step_gradients import StepGradients, weighted_sum
from hpcmtl.training.step_input import StepInput

pytest.importorskip("torch")
OPTIONS = {"fixed": {"weights": [1.0, 0.5, 2.0]}}
UNMEASURED = {"validation_products"}
MEASURED = [
    name
    for name in METHODS
    if not (UNMEASURED & getattr(make_method(name, OPTIONS.get(name, {}), SETUP).weighting, "needs", frozenset()))
]


def steps_by(name):
    """Step gradients by a method, with the factors of the objectives; two steps are an epoch."""
    return StepGradients(make_method(name, OPTIONS.get(name, {}), SETUP), THREE, 2)


def trained(group, name, library="torch", network=NETWORK):
    """State after training on a group, and the weights of each step."""
    replica = replica_on(group, steps_by(name), library, network)
    seen = []
    for number, batch in enumerate(batches()):
        replica.step(suite.dealt(batch, group.rank, group.size), 0.05, number)
        seen.append(replica.gradients.weights)
    state = replica.state()
    parameters = {key: array for key, array in state.items() if key.startswith(PARAMETERS)}
    assert_same_bits(group, parameters)
    replica.close()
    return state, np.array(seen)


@pytest.mark.parametrize("library", ["torch", "gluon"])
@pytest.mark.parametrize("name", MEASURED)
def test_a_group_trains_as_one_rank_does(name, library):
    """Measurements are of the whole batch: a group has the weights, the parameters and the state of one rank."""
    one, weights = run_ranks(1, trained, name, library)[0]
    many, also = run_ranks(3, trained, name, library)[0]

    assert one.keys() == many.keys()
    assert suite.largest_difference(many, one) < 2e-5
    np.testing.assert_allclose(also, weights, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("library", ["torch", "gluon"])
def test_dropout_has_one_mask_for_all_objectives(library):
    """With dropout the gradients of objectives are those of one pass: equal weights give the ordinary update."""
    dropout = Shared(Leaf(Mlp(widths=(8,), outputs=5, activation="tanh", dropout=0.5)), HEADS)

    class Ones:
        needs = frozenset({"gramian"})

        def weights(self, measured):
            assert measured.gramian.shape == (3, 3)
            return [1.0, 1.0, 1.0]

        def state(self):
            return {}

    def states(group):
        found = []
        for gradients in (StepGradients(CombinationMethod(weighting=Ones()), THREE), weighted_sum(THREE)):
            replica = replica_on(group, gradients, library, dropout)
            for number, batch in enumerate(batches()):
                replica.step(batch, 0.05, number)
            found.append(replica.state())
            replica.close()
        return found

    by_rows, ordinary = run_ranks(1, states)[0]  # threads would share one stream of random numbers

    assert suite.largest_difference(by_rows, ordinary) < 1e-5


@pytest.mark.parametrize("library", ["torch", "gluon"])
def test_an_update_is_measured_with_the_masks_of_its_step(library):
    """Where an update changes nothing, the losses after it are those before it, though dropout draws masks."""
    dropout = Shared(Leaf(Mlp(widths=(8,), outputs=5, activation="tanh", dropout=0.5)), HEADS)

    def measured(group):
        replica = replica_on(group, steps_by("famo"), library, dropout)
        for number, batch in enumerate(batches()):
            replica.step(batch, 0.0, number)
        found = replica.learner.newest_losses() * FACTORS, replica.state()["replica/losses_after"]
        replica.close()
        return found

    before, after = run_ranks(1, measured)[0]

    np.testing.assert_allclose(after, before, rtol=1e-6)


@pytest.mark.parametrize("library", ["torch", "gluon"])
def test_the_update_is_that_of_plain_numpy(library):
    """The trunk moves along the shortest combination of the gradients, each head along its own gradient."""

    def both(group):
        replica = replica_on(group, steps_by("mgda"), library)
        values = {n: a.astype(np.float64) for n, a in replica.learner.parameters_matching("*").items()}
        method = make_method("mgda", {}, SETUP)
        for number, batch in enumerate(batches()):
            gradients = plain_gradients(values, batch)
            rows = trunk_rows(gradients)
            weights = method.weighting.from_gramian(rows @ rows.T)
            for name, array in values.items():
                factors = weights if name.startswith("trunk.") else np.ones(3)
                slope = sum(f * each[name] for f, each in zip(factors, gradients, strict=True) if name in each)
                array[...] -= 0.05 * (slope + suite.PLAIN_SGD.weight_decay * array)
            replica.step(suite.dealt(batch, group.rank, group.size), 0.05, number)
        found = replica.learner.parameters_matching("*")
        replica.close()
        return values, found

    expected, found = run_ranks(3, both)[0]

    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-4, atol=2e-6, err_msg=name)


@pytest.mark.parametrize("name", ["dwa", "famo", "gradnorm", "pcgrad", "moco", "db_mtl", "adatask", "graddrop"])
def test_a_method_goes_on_from_a_checkpoint(name):
    """Its state is in that of the replica, whole: another replica goes on to the same bits, a wider group nearly so."""

    def interrupted(group):
        first, second = replica_on(group, steps_by(name)), replica_on(group, steps_by(name))
        steps = list(enumerate(batches()))
        for number, batch in steps[:3]:
            first.step(suite.dealt(batch, group.rank, group.size), 0.05, number)
        middle = first.state()
        second.load_state(middle)
        assert all(np.array_equal(middle[key], array) for key, array in second.state().items())
        for replica in (first, second):
            for number, batch in steps[3:]:
                replica.step(suite.dealt(batch, group.rank, group.size), 0.05, number)
        return middle, first.state(), second.state()

    def wider(group, middle):
        replica = replica_on(group, steps_by(name))
        replica.load_state(middle)
        for number, batch in list(enumerate(batches()))[3:]:
            replica.step(suite.dealt(batch, group.rank, group.size), 0.05, number)
        return replica.state()

    middle, one, other = run_ranks(2, interrupted)[0]
    three = run_ranks(3, wider, middle)[0]

    assert one.keys() == other.keys() == three.keys()
    assert all(np.array_equal(one[key], other[key]) for key in one)
    assert suite.largest_difference(three, one) < 2e-5


def test_a_loss_scale_changes_no_weights():
    """The Gramian is that of the losses themselves, and a step that overflows is skipped on all ranks."""

    def on_rank(group, scales_loss):
        replica = replica_on(group, steps_by("nash_mtl"), scales_loss=scales_loss)
        for number, batch in enumerate(batches()):
            replica.step(suite.dealt(batch, group.rank, group.size), 0.05, number)
        weights, before = replica.gradients.weights, replica.learner.parameters_matching("*")
        if scales_loss:
            huge = batches()[0]
            huge = suite.dealt(
                StepInput(huge.inputs, huge.targets, huge.weights * np.float32(1e38), huge.global_samples),
                group.rank,
                group.size,
            )
            replica.step(huge, 0.05, len(batches()))
            after = replica.learner.parameters_matching("*")
            assert replica.skipped_steps == 1
            assert all(np.array_equal(before[name], after[name]) for name in before)
        return weights, before

    (weights, plain), (also, scaled) = (run_ranks(2, on_rank, scales)[0] for scales in (False, True))

    np.testing.assert_allclose(also, weights, rtol=1e-4)
    for name, array in plain.items():
        np.testing.assert_allclose(scaled[name], array, rtol=1e-4, atol=1e-6)


def test_gradients_of_each_rank_alone_are_another_method():
    """The mean over the ranks of weights from each rank's own gradients is not what is computed: it differs by much."""
    batch, values = batches()[0], {}

    def start(group):
        return replica_on(group, steps_by("pcgrad")).learner.parameters_matching("*")

    values = {name: array.astype(np.float64) for name, array in run_ranks(1, start)[0].items()}
    method = make_method("nash_mtl", {}, SETUP)

    def weights_of(part):
        gradients = plain_gradients(values, part)
        rows = trunk_rows(gradients)
        return method.weighting.from_gramian(rows @ rows.T)

    whole = weights_of(batch)
    alone = np.mean([weights_of(suite.dealt(batch, rank, 2)) for rank in range(2)], axis=0)

    assert np.abs(alone / whole - 1).max() > 0.05


def test_the_weights_of_the_job_file_cost_nothing():
    """A weighted sum measures nothing, and has no state."""
    gradients = weighted_sum(THREE)

    assert gradients.method.weighting.needs == frozenset()
    assert gradients.state(None, None) == {}

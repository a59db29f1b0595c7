"""Weights that cost less are what plain numpy makes of the same definition, and say what is not exact."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import replica_suite as suite
from joint_steps import DROPOUT, SETUP, THREE, batches, code_gradients, plain_gradients, replica_on, trunk_rows

from hpcmtl.communicators.inproc import run_ranks
from hpcmtl.jobfile.weighting import GradientMeasuring
from hpcmtl.training.multitask.method import CombinationMethod
from hpcmtl.training.multitask.methods import make_method
from hpcmtl.training.multitask.step_gradients import StepGradients

pytest.importorskip("torch")
BOTH = pytest.mark.parametrize("library", ["torch", "gluon"])
RATE = 0.05


def steps_by(name, **measuring):
    """Step gradients by a method."""
    return StepGradients(make_method(name, {}, SETUP), THREE, 2, GradientMeasuring(**measuring))


def trained(group, name, library, first=0, state=None, until=None, **measuring):
    """State, and weights of each step, after some steps on a group."""
    replica = replica_on(group, steps_by(name, **measuring), library)
    if state is not None:
        replica.load_state(state)
    seen = []
    for number, batch in list(enumerate(batches()))[first:until]:
        replica.step(suite.dealt(batch, group.rank, group.size), RATE, number)
        seen.append(replica.gradients.weights)
    found = replica.state(), np.array(seen), replica.gradients.totals.taken()
    replica.close()
    return found


def on_ranks(ranks, name, library, **options):
    """Returns what `trained` does on each rank of a group."""
    return run_ranks(ranks, partial(trained, name=name, library=library, **options))


class Ones:
    """Weights of 1 from a Gramian."""

    needs = frozenset({"gramian"})

    def weights(self, measured):
        assert measured.gramian.shape == (3, 3)
        return [1.0, 1.0, 1.0]

    def state(self):
        return {}


def plainly(library, weights_of, ranks=1, *, whole=False):
    """Parameters after all steps in numpy, with the weights of a function of the step and the gradients of ranks.

    With `whole` it is a function of the step, the gradients of the whole batch by name, and the parameters.
    """

    def start(group):
        return replica_on(group, steps_by("mgda"), library).learner.parameters_matching("*")

    values = {name: array.astype(np.float64) for name, array in run_ranks(1, start)[0].items()}
    for number, batch in enumerate(batches()):
        gradients = plain_gradients(values, batch)
        if whole:
            weights = weights_of(number, gradients, values)
        else:
            shares = [plain_gradients(values, suite.dealt(batch, rank, ranks)) for rank in range(ranks)]
            weights = weights_of(number, [trunk_rows(each) for each in shares])
        for name, array in values.items():
            factors = weights if name.startswith("trunk.") else np.ones(3)
            slope = sum(f * each[name] for f, each in zip(factors, gradients, strict=True) if name in each)
            array[...] -= RATE * (slope + suite.PLAIN_SGD.weight_decay * array)
    return values


def assert_near(state, expected):
    """Parameters of a state are those of numpy."""
    for name, array in expected.items():
        np.testing.assert_allclose(state[f"parameters/{name}"], array, rtol=1e-4, atol=2e-6, err_msg=name)


@BOTH
def test_weights_renewed_at_some_steps(library):
    """Steps in between are ordinary ones with the weights of the newest renewal, for all parameters that are shared."""
    (state, seen, recorded) = on_ranks(3, "nash_mtl", library, every=2)[0]
    method, newest = make_method("nash_mtl", {}, SETUP).weighting, []

    def weights_of(number, shares):
        if number % 2 == 0:
            rows = sum(shares)
            newest.append(method.from_gramian(rows @ rows.T))
        return newest[-1]

    plain = plainly(library, weights_of, 3)

    assert_near(state, plain)
    np.testing.assert_allclose(seen[0::2], newest, rtol=1e-3)
    np.testing.assert_array_equal(seen[0::2][: len(seen) // 2], seen[1::2])
    assert "objective_gradients_inexact" not in recorded


def test_held_weights_go_on_from_a_checkpoint():
    """A checkpoint between two renewals holds the weights: one rank and three go on as one that was not interrupted."""
    whole, weights, _ = on_ranks(2, "cagrad", "torch", every=3)[0]
    middle, _, _ = on_ranks(2, "cagrad", "torch", until=2, every=3)[0]
    same, also, _ = on_ranks(2, "cagrad", "torch", first=2, state=middle, every=3)[0]
    wider, _, _ = on_ranks(3, "cagrad", "torch", first=2, state=middle, every=3)[0]

    assert all(np.array_equal(whole[key], array) for key, array in same.items())
    np.testing.assert_array_equal(weights[2:], also)
    assert suite.largest_difference(wider, whole) < 2e-5


@BOTH
def test_a_mean_of_the_gramians_of_ranks(library):
    """`biased` weighs by the mean of the ranks' own Gramians, which is another matrix, and is recorded as inexact."""
    state, seen, recorded = on_ranks(2, "nash_mtl", library, biased=True)[0]
    (alone, one, _) = on_ranks(1, "nash_mtl", library, biased=True)[0]
    exact, expected, _ = on_ranks(1, "nash_mtl", library)[0]
    method = make_method("nash_mtl", {}, SETUP).weighting

    def weights_of(_, shares):
        own = [len(shares) * rows for rows in shares]
        return method.from_gramian(np.mean([rows @ rows.T for rows in own], axis=0))

    assert_near(state, plainly(library, weights_of, 2))
    assert recorded["objective_gradients_inexact"] == "biased: true"
    assert suite.largest_difference(alone, exact) < 2e-5
    np.testing.assert_allclose(one, expected, rtol=1e-3)
    assert np.abs(seen / expected - 1).max() > 0.02


def test_a_step_that_is_skipped_leaves_the_weighting_as_it_was():
    """Where a private gradient alone overflows, methods learn nothing from the step, on all ranks."""

    def on_rank(group):
        replica = replica_on(group, steps_by("gradvac"), scales_loss=True)
        batch = suite.dealt(batches()[0], group.rank, group.size)
        replica.step(batch, RATE, 0)
        before = replica.gradients.state(replica.learner, replica.strategy)
        if group.rank == 1:
            replica.learner.gradients_finite = lambda: False
        replica.step(batch, RATE, 1)
        after = replica.gradients.state(replica.learner, replica.strategy)
        return replica.skipped_steps, before, after

    for skipped, before, after in run_ranks(2, on_rank):
        assert skipped == 1
        assert before
        assert before.keys() == after.keys()
        assert all(np.array_equal(before[name], after[name]) for name in before)


PLACES = [("torch", "last_shared_layer"), ("torch", "features"), ("gluon", "features")]


@pytest.mark.parametrize(("library", "place"), PLACES)
def test_gradients_at_one_place(library, place):
    """Weights come from the Gramian there, of the whole batch on any number of ranks, and are recorded as inexact."""
    state, seen, recorded = on_ranks(3, "mgda", library, gradients_at=place)[0]
    alone, one, _ = on_ranks(1, "mgda", library, gradients_at=place)[0]
    method = make_method("mgda", {}, SETUP).weighting

    def weights_of(number, gradients, values):
        if place == "features":
            rows = code_gradients(values, batches()[number])
        else:
            rows = np.stack(
                [np.concatenate([a.ravel() for n, a in e.items() if "output" in n and "trunk" in n]) for e in gradients]
            )
        return method.from_gramian(rows @ rows.T)

    assert_near(state, plainly(library, weights_of, whole=True))
    assert suite.largest_difference(state, alone) < 2e-5
    np.testing.assert_allclose(seen, one, rtol=1e-3, atol=1e-5)
    assert recorded["objective_gradients_inexact"] == f"gradients_at: {place}"


@pytest.mark.parametrize("library", ["torch", "gluon"])
def test_features_with_dropout(library):
    """All passes of a step have the same masks: with the weights of a sum the update is the ordinary one."""

    def states(group):
        found = []
        for measuring in ({"gradients_at": "features"}, {}):
            gradients = StepGradients(CombinationMethod(weighting=Ones()), THREE, 2, GradientMeasuring(**measuring))
            replica = replica_on(group, gradients, library, DROPOUT)
            for number, batch in enumerate(batches()):
                replica.step(batch, RATE, number)
            found.append(replica.state())
            replica.close()
        return found

    by_features, ordinary = run_ranks(1, states)[0]  # threads would share one stream of random numbers

    assert suite.largest_difference(by_features, ordinary) < 1e-5


WAYS = {
    "held": ("nash_mtl", {"every": 2}),
    "features": ("gradnorm", {"gradients_at": "features"}),
    "halves": ("modo", {}),
    "layer": ("gradnorm", {"gradients_at": "last_shared_layer"}),
}
MASKED = [(way, library) for way in WAYS for library in ("torch", "gluon") if (way, library) != ("layer", "gluon")]


@pytest.mark.parametrize(("way", "library"), MASKED)
def test_missing_labels_and_a_loss_scale(way, library):
    """A group with a loss scale trains as one rank without, where labels are missing and ranks have no sample."""
    name, measuring = WAYS[way]

    def on_rank(group, scales_loss):
        random = np.random.default_rng(2)
        replica = replica_on(group, steps_by(name, **measuring), library, scales_loss=scales_loss)
        for number, batch in enumerate(batches()):
            known = [(random.random(batch.global_samples) < 0.6).astype(np.float32) for _ in THREE]
            masked = replace(batch, label_weights=tuple(known))
            replica.step(suite.dealt(masked, group.rank, group.size), RATE, number)
        found = replica.learner.parameters_matching("*"), replica.gradients.weights, replica.skipped_steps
        replica.close()
        return found

    one, weights, _ = run_ranks(1, on_rank, False)[0]
    three, also, skipped = run_ranks(3, on_rank, True)[0]

    assert skipped == 0
    np.testing.assert_allclose(also, weights, rtol=1e-3, atol=1e-5)
    for key, array in one.items():
        np.testing.assert_allclose(three[key], array, rtol=1e-4, atol=2e-6, err_msg=key)

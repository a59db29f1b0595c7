"""Running statistics of batch normalisation on a group are those of whole batches, whatever shares the ranks have."""

from __future__ import annotations

from dataclasses import replace

import gluon_suite
import numpy as np
import pytest
import replica_suite as suite
from own_blocks import mx

from hpcmtl.communicators.inproc import run_ranks
from hpcmtl.exchange.store import PARAMETERS
from hpcmtl.networks.models import UserModel
from hpcmtl.training.step_input import StepInput

FIRST = UserModel(name="own_blocks:normalised_first")
TWICE = UserModel(name="own_blocks:applied_twice")
RESIDUAL = UserModel(name="own_normalised:Residual")
BESIDE = UserModel(name="own_blocks:normalised_beside")
PLAIN = suite.PLAIN_SGD


def batches():
    """13 rows in batches of 3 for two epochs, far from zero: the last batch of an epoch has one row."""
    generator = np.random.default_rng(2)
    rows = generator.normal(30, 4, size=(13, *suite.IMAGE)).astype(np.float32)
    labels = generator.integers(0, 3, 13)
    cuts = [slice(start, start + 3) for start in range(0, 13, 3)] * 2
    return [StepInput({"input": rows[c]}, (labels[c],), np.ones(len(rows[c]), np.float32), len(rows[c])) for c in cuts]


def trained_on(group, model=FIRST, engine="mpi", **options):
    """State of the learner, not consolidated, after all steps on a group."""
    with suite.opened(gluon_suite.setup(engine), group, model, PLAIN, **options) as replica:
        for number, batch in enumerate(batches()):
            replica.step(suite.dealt(batch, group.rank, group.size), 0.01, number)
        return replica.learner.state()


def plain_gluon():
    """Running statistics of MXNet's own block after the same batches, in whole."""
    block = mx.gluon.nn.BatchNorm()
    block.initialize()
    for batch in batches():
        with mx.autograd.record():
            made = block(mx.nd.array(batch.inputs["input"]))
        made.backward()  # MXNet updates the statistics in this pass
    return {name: getattr(block, name).data().asnumpy() for name in ("running_mean", "running_var")}


@pytest.mark.parametrize("engine", ["mpi", "kvstore"])
@pytest.mark.parametrize("ranks", [2, 4])
def test_statistics_of_the_first_layer_are_those_of_plain_gluon(ranks, engine):
    """Mean and variance equal MXNet's on whole batches, with uneven shares, single rows and filler rows."""
    states = run_ranks(ranks, trained_on, FIRST, engine)
    expected = plain_gluon()

    assert expected["running_var"].min() > 5
    for name, array in expected.items():
        np.testing.assert_allclose(states[0][f"{PARAMETERS}0.{name}"], array, rtol=2e-5)
        assert all(
            np.array_equal(state[f"{PARAMETERS}0.{name}"], states[0][f"{PARAMETERS}0.{name}"]) for state in states
        )


def test_samples_of_weight_zero_count():
    """Weights of 0 change gradients alone: the statistics are those of plain Gluon on all rows of a batch."""

    def on_rank(group):
        with suite.opened(gluon_suite.setup("mpi"), group, FIRST, PLAIN) as replica:
            for number, batch in enumerate(batches()):
                weights = np.where(np.arange(len(batch.weights)) < 1, 1, 0).astype(np.float32)
                replica.step(suite.dealt(replace(batch, weights=weights), group.rank, group.size), 0.01, number)
            return replica.learner.state()

    expected = plain_gluon()

    for state in run_ranks(2, on_rank):
        for name, array in expected.items():
            np.testing.assert_allclose(state[f"{PARAMETERS}0.{name}"], array, rtol=2e-5)


def test_statistics_beside_some_that_nothing_updates():
    """A normalisation by global statistics leaves those of others exact, and keeps its own, as in plain Gluon."""
    (one, two) = (run_ranks(ranks, trained_on, BESIDE, "mpi")[0] for ranks in (1, 2))

    assert np.array_equal(one[f"{PARAMETERS}0.running_var"], np.ones(1))
    assert one[f"{PARAMETERS}1.running_var"].min() > 5
    for name in (f"{PARAMETERS}1.running_mean", f"{PARAMETERS}1.running_var"):
        np.testing.assert_allclose(two[name], one[name], rtol=2e-5)


def test_statistics_on_fp16_and_one_rank():
    """Compressed gradients leave the statistics as they are; one rank has those of MXNet bit by bit."""
    (half,) = {
        state[f"{PARAMETERS}0.running_var"].tobytes()
        for state in run_ranks(2, lambda g: trained_on(g, compression="fp16"))
    }
    (one,) = run_ranks(1, trained_on, FIRST, "local")
    expected = plain_gluon()

    np.testing.assert_allclose(np.frombuffer(half, np.float32), expected["running_var"], rtol=2e-5)
    assert all(np.array_equal(one[f"{PARAMETERS}0.{name}"], array) for name, array in expected.items())


def test_statistics_that_are_updated_twice_a_step_are_averaged():
    """Statistics that cannot be recomputed are each rank's own, until the group consolidates them."""

    def on_rank(group):
        with suite.opened(gluon_suite.setup("mpi"), group, TWICE, PLAIN) as replica:
            whole = replica.learner.traits.whole_batch_statistics
            for number, batch in enumerate(batches()):
                replica.step(suite.dealt(batch, group.rank, group.size), 0.01, number)
            before = replica.learner.state()
            replica.consolidate()
            return whole, before, replica.learner.state()

    (whole, *mine), (_, *other) = run_ranks(2, on_rank)
    name = next(name for name in mine[0] if name.endswith("running_mean"))

    assert not whole
    assert not np.array_equal(mine[0][name], other[0][name])
    np.testing.assert_allclose(mine[1][name], (mine[0][name] + other[0][name]) / 2, rtol=1e-6)
    assert np.array_equal(mine[1][name], other[1][name])


def test_factors_are_no_statistics():
    """Layers without factors and offsets of their own have the statistics of the whole batch as any other."""

    def on_rank(group):
        with suite.opened(gluon_suite.setup("mpi"), group, RESIDUAL, PLAIN) as replica:
            state = suite.train(replica, group)
            return replica.learner.traits.whole_batch_statistics, sorted(replica.learner.views("statistics")), state

    (whole, names, state), (_, _, other) = run_ranks(2, on_rank)

    assert whole
    assert len(names) == 8
    assert all(name.rpartition(".")[2] in {"running_mean", "running_var"} for name in names)
    assert all(np.array_equal(state[name], other[name]) for name in state)


def test_one_frozen_statistic_stays():
    """A layer of which the variance alone is frozen keeps it, and normalises by it in training."""

    def on_rank(group):
        options = {"freeze": ("last.running_var",)}
        with suite.opened(gluon_suite.setup("mpi"), group, RESIDUAL, PLAIN, **options) as replica:
            return replica.state(), suite.train(replica, group)

    start, state = run_ranks(1, on_rank)[0]
    name = f"{PARAMETERS}last.running_var"

    assert np.array_equal(state[name], start[name])
    assert not np.array_equal(state[f"{PARAMETERS}stem.1.running_var"], start[f"{PARAMETERS}stem.1.running_var"])

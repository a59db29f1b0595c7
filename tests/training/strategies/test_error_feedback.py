"""A compressor with memory needs no change of loop or strategy: its residuals are in checkpoints, a row a rank."""

from __future__ import annotations

import gluon_suite
import numpy as np
import pytest
import replica_suite as suite

from hpcmtl.communicators.inproc import run_ranks
from hpcmtl.exchange.store import read_sealed
from hpcmtl.training.strategies import select
from hpcmtl.training.strategies.compressors import NoCompression


class SignsWithFeedback(NoCompression):
    """Sends signs times their mean size, and adds the rest to the next gradient (Karimireddy et al., ICML 2019)."""

    takes = "views"

    def __init__(self):
        self.residuals = []

    def compress(self, gradients):
        self.residuals = self.residuals or [np.zeros_like(gradient) for gradient in gradients]
        wanted = [gradient + residual for gradient, residual in zip(gradients, self.residuals, strict=True)]
        sent = [np.abs(each).mean() * np.sign(each) for each in wanted]
        self.residuals = [each - signs for each, signs in zip(wanted, sent, strict=True)]
        return [each.copy() for each in sent]

    def decompress(self, arrays, gradients):
        for array, gradient in zip(arrays, gradients, strict=True):
            gradient[...] = array

    def state(self):
        return {str(index): residual.copy() for index, residual in enumerate(self.residuals)}

    def load_state(self, state):
        self.residuals = [state[str(index)].copy() for index in range(len(state))]


@pytest.fixture(autouse=True)
def signs(monkeypatch):
    """Lets `compression: none` mean this compressor."""
    monkeypatch.setattr(select, "NoCompression", SignsWithFeedback)


def test_what_was_not_sent_comes_later():
    """Updates and what is left, summed over steps and averaged over ranks, are the gradients of all steps."""

    def on_rank(group):
        with suite.opened(gluon_suite.setup("mpi"), group, suite.LINEAR, suite.PLAIN_SGD) as replica:
            learner, asked, made = replica.learner, 0.0, 0.0
            compress = replica.strategy._compressor.compress

            def watched(gradients):
                nonlocal asked
                asked = asked + gradients[1].astype(np.float64)
                return compress(gradients)

            replica.strategy._compressor.compress = watched
            for number, batch in enumerate(suite.batches()):
                replica.step(suite.dealt(batch, group.rank, group.size), 0.05, number)
                made = made + learner.gradients()["output.weight"].astype(np.float64)
            return asked, made, replica.state()["strategy/compressor/1"]

    results = run_ranks(2, on_rank)
    asked = np.mean([asked for asked, *_ in results], axis=0)
    _, made, rows = results[0]

    assert rows.shape == (2, *asked.shape)
    np.testing.assert_allclose(made + rows.mean(axis=0), asked, rtol=0, atol=1e-5)
    assert not np.allclose(made, asked, rtol=0, atol=1e-2)


def test_resume_equals_no_interruption(bench, task):
    """Layers in sessions of their own, from checkpoints, come to the bits of one piece; on other ranks it goes on."""
    tasks = {"digit": task(engine="mpi")}
    whole, pieces, moved = bench(tasks), bench(tasks), bench(tasks)
    whole.run("digit", 2)
    pieces.run_by_layers("digit", [2, 2, 2])
    moved.run_by_layers("digit", [2, 3, 1])
    one, other = whole.parameters("digit"), pieces.parameters("digit")
    state, _ = read_sealed(pieces.checkpoints("digit")[-1])
    rows = [array for name, array in state.items() if name.startswith("strategy/compressor/")]

    assert all(np.array_equal(one[name], other[name]) for name in one)
    assert rows
    assert all(len(array) == 2 and not np.array_equal(array[0], array[1]) for array in rows)


def test_on_other_ranks_the_mean_of_the_residuals_stays():
    """Three ranks that load the state of two have the mean of the two residuals each."""

    def train(group, state=None):
        with suite.opened(gluon_suite.setup("mpi"), group, suite.LINEAR) as replica:
            if state is not None:
                replica.load_state(state)
                return replica.state()
            return suite.train(replica, group)

    before = run_ranks(2, train)[0]
    after = run_ranks(3, train, before)[0]
    names = [name for name in before if name.startswith("strategy/compressor/")]

    assert names
    for name in names:
        assert len(after[name]) == 3
        np.testing.assert_allclose(
            after[name], np.broadcast_to(before[name].mean(axis=0), after[name].shape), rtol=1e-6
        )

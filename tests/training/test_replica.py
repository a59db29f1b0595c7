"""A replica keeps the states of its parts apart by name, and loads checkpoints of earlier versions."""

from __future__ import annotations

import gluon_suite
import numpy as np
import pytest
import replica_suite as suite

from hpcmtl.communicators.inproc import run_ranks
from hpcmtl.training.multitask.method import CombinationMethod
from hpcmtl.training.multitask.step_gradients import StepGradients
from hpcmtl.training.strategies.allreduce import LOSS_SCALE


class CountingWeights:
    """Weights with a state: the number of steps."""

    needs = frozenset()
    steps = 0

    def weights(self, measured):
        self.steps += 1
        return [1.0]

    def state(self):
        return {"steps": np.array(self.steps)}

    def load_state(self, state):
        self.steps = int(state.get("steps", 0))


@pytest.fixture
def replica():
    """A replica on one rank with a weighting that counts."""
    made = suite.replica_on(gluon_suite.setup("local"), run_ranks(1, lambda group: group)[0])
    made.gradients = StepGradients(CombinationMethod(weighting=CountingWeights()), suite.CLASSES)
    return made


def test_the_state_of_every_part_goes_round(replica):
    """The loss scale has no prefix; the weighting's state has its own, and both are restored."""
    state = suite.train(replica)
    suite.train(replica)
    replica.load_state({**state, LOSS_SCALE: np.array([64.0, 17.0])})
    loaded = replica.state()

    assert {name.split("/")[0] for name in state} == {"parameters", "optimizer", "loss_scale", "weighting"}
    assert loaded["weighting/steps"] == len(suite.BATCHES)
    assert loaded[LOSS_SCALE].tolist() == [64.0, 17.0]
    assert all(np.array_equal(loaded[name], state[name]) for name in state if name != LOSS_SCALE)


def test_a_checkpoint_of_an_earlier_version_is_loaded(replica):
    """A parameter that it does not hold takes its initial value."""
    state = suite.train(replica)
    earlier = {name: array for name, array in state.items() if name.split("/")[0] != "weighting"}
    replica.load_state(earlier)
    loaded = replica.state()

    assert loaded["weighting/steps"] == 0
    assert all(np.array_equal(loaded[name], array) for name, array in earlier.items())


def test_a_replica_closes_once(replica):
    """Closing again has no effect, and losses that were not collected are gone."""
    suite.train(replica)
    replica.close()
    replica.close()

    assert replica.collect_losses().shape == (0, 1)


def test_an_overflow_without_compression_is_an_update():
    """Only a compressor that scales the loss skips steps: without one, infinite gradients reach the parameters."""
    with suite.opened(gluon_suite.setup("local"), run_ranks(1, lambda group: group)[0]) as replica:
        batch = suite.batches()[0]
        weights = np.full_like(batch.weights, np.inf)
        replica.step(suite.StepInput(batch.inputs, batch.targets, weights, batch.global_samples), 0.05, 0)
        state = replica.state()

    assert replica.skipped_steps == 0
    assert not all(np.isfinite(array).all() for array in state.values())

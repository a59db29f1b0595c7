"""SDMGrad and MoDo compare two halves of the whole group's batch, as in plain numpy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import replica_suite as suite
from joint_steps import SETUP, THREE, batches, plain_gradients, replica_on, trunk_rows

from hpcmtl.communicators.inproc import run_ranks
from hpcmtl.training.multitask.halves import halves_of
from hpcmtl.training.multitask.methods import make_method
from hpcmtl.training.multitask.step_gradients import StepGradients
from hpcmtl.training.multitask.weighting import ObjectiveMeasurements

pytest.importorskip("torch")
RATE = 0.05


def plain_halves(values, batch):
    """The mean gradients of the samples with even and with odd numbers; zeros where there are none."""
    found = []
    for first in (0, 1):
        rows = np.arange(first, batch.global_samples, 2)
        half = replace(
            batch,
            inputs={name: array[rows] for name, array in batch.inputs.items()},
            targets=tuple(target[rows] for target in batch.targets),
            weights=batch.weights[rows],
            global_samples=len(rows),
        )
        found.append(trunk_rows(plain_gradients(values, half)) if len(rows) else np.zeros_like(found[0]))
    return found


@pytest.mark.parametrize("library", ["torch", "gluon"])
@pytest.mark.parametrize("name", ["modo", "sdmgrad"])
def test_a_training_by_halves_is_that_of_plain_numpy(name, library):
    """Weights come from products of one half with the other; the update combines the gradients of the whole batch."""

    def both(group):
        replica = replica_on(group, StepGradients(make_method(name, {}, SETUP), THREE, 2), library)
        values = {n: a.astype(np.float64) for n, a in replica.learner.parameters_matching("*").items()}
        method = make_method(name, {}, SETUP)
        for number, batch in enumerate(batches()):
            first, second = plain_halves(values, batch)
            weights = method.weighting.weights(ObjectiveMeasurements(cross_gramian=first @ second.T))
            gradients = plain_gradients(values, batch)
            for key, array in values.items():
                factors = weights if key.startswith("trunk.") else np.ones(3)
                slope = sum(f * each[key] for f, each in zip(factors, gradients, strict=True) if key in each)
                array[...] -= RATE * (slope + suite.PLAIN_SGD.weight_decay * array)
            replica.step(suite.dealt(batch, group.rank, group.size), RATE, number)
            np.testing.assert_allclose(replica.gradients.weights, weights, rtol=1e-3, atol=1e-6)
        found = replica.learner.parameters_matching("*")
        replica.close()
        return values, found

    expected, found = run_ranks(3, both)[0]

    for key, array in expected.items():
        np.testing.assert_allclose(found[key], array, rtol=1e-4, atol=2e-6, err_msg=key)


@pytest.mark.parametrize("ranks", [1, 2, 3, 7])
def test_halves_do_not_depend_on_the_number_of_ranks(ranks):
    """The shares of all ranks together have the samples of the batch in turn; a filler is in no second half."""
    batch = batches()[0]

    def mine(group):
        share = suite.dealt(replace(batch, global_samples=5), group.rank, group.size)
        return share.filler, halves_of(share, group)

    found = run_ranks(ranks, mine)
    together = np.concatenate([halves for filler, halves in found if not filler], axis=1)

    np.testing.assert_array_equal(together, [[1, 0, 1, 0, 1], [0, 1, 0, 1, 0]])
    assert all(halves.shape == (2, 1) for filler, halves in found if filler)

"""The weights of losses: of samples, of labels, and of both."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hpcmtl.errors import TaskFailedError
from hpcmtl.training.micro_batches import at_least_two_rows, micro_batches
from hpcmtl.training.step_input import StepInput

FACTORS = st.sampled_from([0.0, 0.5, 1.25])


def step(weights, factors):
    """A batch with an objective of one label a sample, one of several, and one whose labels are all known."""
    rows = len(weights)
    targets = (np.zeros(rows), np.zeros((rows, 3)), np.zeros(rows))
    labels = (factors[:, 0].copy(), factors, None)
    return StepInput({"input": np.ones((rows, 2))}, targets, weights, rows, label_weights=labels)


@settings(max_examples=60)
@given(st.data(), st.integers(1, 6), st.integers(1, 4))
def test_pieces_have_the_weights_of_the_batch(data, rows, count):
    """A loss is weighted by its sample and its label, also in micro-batches, and in a row that is doubled."""
    weights = data.draw(arrays(np.float32, rows, elements=FACTORS))
    factors = data.draw(arrays(np.float32, (rows, 3), elements=FACTORS))
    batch = step(weights, factors)
    parts = micro_batches(batch, count)
    expected = [(weights * factors[:, 0], (rows,)), (weights[:, None] * factors / 3, (rows, 3)), (weights, (rows,))]
    for number, (wanted, shape) in enumerate(expected):
        found = [part.weights_of(number, (len(part.weights), *shape[1:])) for part in parts]
        doubled = at_least_two_rows(batch).weights_of(number, (max(rows, 2), *shape[1:]))

        np.testing.assert_allclose(batch.weights_of(number, shape), wanted, rtol=1e-6)
        np.testing.assert_allclose(np.concatenate(found), wanted, rtol=1e-6)
        np.testing.assert_allclose(doubled.sum(axis=0), wanted.sum(axis=0), rtol=1e-6)
    # The mean over the labels of a sample where nothing is missing.
    np.testing.assert_allclose(batch.weights_of(2, (rows, 4)).sum(axis=1), weights, rtol=1e-6)


def test_one_loss_for_labels_of_which_some_are_missing_is_refused():
    """The loss of a sample has one weight where its labels agree; otherwise a loss of each label is needed."""
    whole, partly = np.array([[1, 1], [0, 0]], np.float32), np.array([[1, 0], [0, 0]], np.float32)
    batch = StepInput({"input": np.ones((2, 2))}, (whole,), np.ones(2, np.float32), 2, label_weights=(whole,))

    assert batch.weights_of(0, (2,)).tolist() == [1, 0]
    with pytest.raises(TaskFailedError, match="the loss gives one value for all of them; use l2"):
        StepInput({"input": np.ones((2, 2))}, (partly,), np.ones(2, np.float32), 2, label_weights=(partly,)).weights_of(
            0, (2,)
        )

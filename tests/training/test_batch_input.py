"""The input of a step has the weights of labels, and of samples that count in a consistency loss."""

from __future__ import annotations

import numpy as np
import pytest

from hpcmtl.data.batches import Batch
from hpcmtl.data.cursor import Cursor
from hpcmtl.networks.consistency import Consistency
from hpcmtl.training.batch_input import step_input_of

TARGETS = {"digit": "target/digit", "parity": "target/parity"}


def batch_with(label_weights):
    """A batch of four rows."""
    arrays = {"input/input": np.zeros((4, 2)), **{key: np.zeros(4) for key in TARGETS.values()}}
    return Batch(Cursor(0, 0, 1), np.arange(4), arrays, np.ones(4, np.float32), 4, label_weights=label_weights)


def agree(*, unlabelled):
    """A loss between both heads."""
    values = ("softmax", "softmax")
    return Consistency(name="agree", heads=("digit", "parity"), loss="kl", values=values, unlabelled=unlabelled)


@pytest.mark.parametrize(
    ("label_weights", "expected"),
    [
        ({}, [0, 0, 0, 0]),
        ({"target/parity": np.array([2, 0, 2, 0], np.float32)}, [0, 1, 0, 1]),
        (
            {"target/parity": np.array([2, 0, 2, 2], np.float32), "target/digit": np.array([0, 0, 3, 3], np.float32)},
            [1, 1, 0, 0],
        ),
        ({"target/parity": np.array([[2, 0], [2, 2], [2, 2], [0, 0]], np.float32)}, [1, 0, 0, 1]),
    ],
)
def test_samples_without_a_label_of_one_head_count(label_weights, expected):
    """Those with both labels have weight 0, also where no label is missing at all."""
    found = step_input_of(batch_with(label_weights), TARGETS, 1, (agree(unlabelled=True),))

    assert found.label_weights[2].tolist() == expected
    np.testing.assert_array_equal(found.weights_of(2, (4,)), np.array(expected, np.float32))


def test_all_samples_count():
    """Whatever is known of labels, a consistency loss has the weights of the samples."""
    known = {"target/parity": np.array([2, 0, 2, 0], np.float32)}
    for label_weights in ({}, known):
        found = step_input_of(batch_with(label_weights), TARGETS, 1, (agree(unlabelled=False),))

        assert found.weights_of(2, (4,)).tolist() == [1, 1, 1, 1]

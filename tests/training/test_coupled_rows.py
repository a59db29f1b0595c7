"""Losses of a sample that other rows of its batch take part in are noticed, wherever these rows stand."""

from __future__ import annotations

import numpy as np
import pytest

from hpcmtl.training.coupled_rows import rows_are_coupled
from hpcmtl.training.step_input import StepInput

BATCH = StepInput(
    {"input": np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)},
    (np.arange(5),),
    np.ones(5, np.float32),
    5,
)


@pytest.mark.parametrize(
    ("mixed", "coupled"),
    [
        (lambda rows: rows, False),
        (lambda rows: np.cumsum(rows, axis=0), True),
        (lambda rows: np.cumsum(rows[::-1], axis=0)[::-1], True),
        (lambda rows: rows - rows.mean(axis=0), True),
        (lambda rows: np.roll(rows, 1, axis=0), True),
    ],
    ids=["alone", "rows before", "rows behind", "all rows", "the row before"],
)
def test_coupled_rows(mixed, coupled):
    """A running sum sees the rows before a row alone, as a recurrent network along the batch does."""

    def losses(inputs, targets, _seed):
        return [np.square(mixed(inputs["input"])).sum(axis=1) + targets[0]]

    assert rows_are_coupled(losses, BATCH) == coupled


def test_random_losses_are_not_compared():
    """A loss that draws random numbers differs by itself, and the answer is no."""

    def losses(inputs, _targets, seed):
        return [np.random.default_rng(seed).normal(size=len(inputs["input"])) + np.cumsum(inputs["input"].sum(axis=1))]

    assert not rows_are_coupled(losses, BATCH)

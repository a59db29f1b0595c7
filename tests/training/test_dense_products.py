"""Rows that stand for the gradients of dense layers have their inner products, as float64 computes them."""

from __future__ import annotations

import numpy as np
import pytest

from hpcmtl.training import dense_products
from hpcmtl.training.dense_products import pays, rows_of_products
from hpcmtl.training.objective_rows import gramian_of

ROWS, VALUES, OUTPUTS = 12, 40, 7


def exact(inputs, outputs, *, offset):
    """Inner products of whole gradients, in float64."""
    inputs = inputs.astype(np.float64)
    inputs = np.concatenate([inputs, np.ones((len(inputs), 1))], axis=1) if offset else inputs
    gradients = np.stack([(each.astype(np.float64).T @ inputs).ravel() for each in outputs])
    return gradients @ gradients.T


@pytest.mark.parametrize("offset", [False, True])
@pytest.mark.parametrize("case", ["plain", "far from zero", "cancelling", "equal rows", "rows of zeros"])
def test_inner_products_are_those_of_whole_gradients(case, offset):
    """Also where the parts of a gradient nearly cancel, and where inputs are equal or 0."""
    random = np.random.default_rng(2)
    inputs = random.normal(size=(ROWS, VALUES)).astype(np.float32)
    outputs = random.normal(size=(3, ROWS, OUTPUTS)).astype(np.float32)
    if case == "far from zero":
        inputs += 100
    if case == "cancelling":
        inputs += 10
        outputs -= outputs.mean(axis=1, keepdims=True)
    if case == "equal rows":
        inputs[1::2] = inputs[::2]
    if case == "rows of zeros":
        inputs[3:6] = 0
    expected = exact(inputs, outputs, offset=offset)
    found = gramian_of(rows_of_products(inputs, outputs, offset=offset))
    norms = np.sqrt(np.diag(expected))

    # Single precision of the parts of a gradient: those of "cancelling" are 10 times as long as it is.
    assert (np.abs(found - expected) / np.outer(norms, norms)).max() < (2e-5 if case == "cancelling" else 2e-6)


def test_rows_that_depend_on_each_other_are_not_taken_for_infinite(monkeypatch):
    """Where rounding makes the products of finite inputs indefinite, as among many rows, the numbers are right."""
    monkeypatch.setattr(dense_products, "_SHIFT", -1e-9)  # as large a rounding as tens of thousands of rows have
    random = np.random.default_rng(2)
    inputs = random.normal(size=(ROWS, VALUES)).astype(np.float32)
    inputs[1::2] = inputs[::2]
    outputs = random.normal(size=(3, ROWS, OUTPUTS)).astype(np.float32)
    expected = exact(inputs, outputs, offset=True)
    found = gramian_of(rows_of_products(inputs, outputs, offset=True))
    norms = np.sqrt(np.diag(expected))

    assert (np.abs(found - expected) / np.outer(norms, norms)).max() < 2e-6


def test_inputs_that_are_not_finite_give_no_numbers():
    """The weighting sees no finite number, as with whole gradients."""
    inputs = np.full((4, 9), np.nan, np.float32)

    assert not np.isfinite(gramian_of(rows_of_products(inputs, np.ones((2, 4, 3), np.float32), offset=True))).any()


def test_small_weights_and_large_batches_do_not_pay():
    """Factors are used where they have less than half as many rows as the layer has inputs."""
    assert pays((256, 784), 64)
    assert not pays((10, 128), 16)
    assert not pays((256, 784), 400)
    assert not pays((32, 16, 3, 3), 1)


@pytest.mark.parametrize("count", [1, 3, 16, 17])
def test_the_gramian_of_rows_is_that_of_float64(count):
    """Few rows are multiplied one by one, many together, in blocks of coordinates."""
    rows = np.random.default_rng(count).normal(size=(count, 40_000)).astype(np.float32)
    doubles = rows.astype(np.float64)

    np.testing.assert_allclose(gramian_of(rows), doubles @ doubles.T, rtol=1e-12, atol=1e-9)

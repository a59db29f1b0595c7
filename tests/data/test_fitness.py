"""Values that networks, losses and sample weights can take, and those that they cannot."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from hpcmtl.data import fitness
from hpcmtl.data.value_summary import summarise

TIMES = 1.7e9 + np.arange(100.0)
OF_THREE = "the network has one output for each of 3 classes"


def summary(values, scale=1.0):
    """The summary of some values of a file with a scale."""
    return dataclasses.replace(summarise(np.asarray(values)), scale=scale)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([1.0, -3.0], None),
        ([True, False], None),
        ([3.4e38, -3.4e38], None),
        ([1.0, 1e39], "sample 1 holds 1e+39, which is Inf in float32"),
        ([-1e39, 1.0], "sample 0 holds -1e+39, which is Inf in float32"),
        ([[1.0, 2.0], [1.0, np.nan]], "sample 1 holds NaN or Inf"),
        (["a"], "has values of type text"),
        ([1 + 2j], "has values of type complex128"),
    ],
)
def test_values_for_networks(values, said):
    """Finite numbers within the range of float32 pass; others are named with their sample."""
    found = fitness.network_problem(summary(values))

    assert found is None if said is None else said in (found or "")


def test_a_scale_brings_values_into_range():
    """The range is that of the values that a network reads, after their scale."""
    assert fitness.network_problem(summary([1e39], scale=1e-3)) is None
    assert "Inf in float32" in (fitness.network_problem(summary([1e38], scale=1e3)) or "")


def two_columns(merged, columns=2):
    """Samples with some columns that float32 merges, and others that it does not."""
    rows = np.random.default_rng(0).normal(size=(100, columns))
    rows[:, :merged] = TIMES[:, None]
    return rows


@pytest.mark.parametrize(
    ("values", "as_input", "as_target", "warned"),
    [
        (np.array([2**24 + 1, 0]), True, True, False),
        (np.array([2**24, 0]), False, False, False),
        (np.array([0.1, 0.2, 0.3]), False, False, False),
        (TIMES, True, True, False),
        (two_columns(0), False, False, False),
        (two_columns(1), False, True, True),
        (two_columns(2), True, True, False),
        (two_columns(1, columns=2000), False, False, False),
    ],
    ids=["odd", "even", "fractions", "times", "none of 2", "1 of 2", "2 of 2", "1 of 2000, by chance"],
)
def test_values_that_float32_merges(values, as_input, as_target, warned):
    """Inputs are refused if all varying positions merge and warned of if some do; of targets each position counts."""
    found = summary(values)

    assert (fitness.rounding_problem(found, is_target=False) is not None) == as_input
    assert (fitness.rounding_problem(found, is_target=True) is not None) == as_target
    assert (fitness.rounding_warning(found) is not None) == warned


@pytest.mark.parametrize(
    ("values", "below", "said"),
    [
        ([0, 8], 9, None),
        ([0, 9], 9, "sample 1 holds 9, but the network takes 0 to 8: number the values again, or give it"),
        ([-1, 8], 9, "sample 0 holds -1, but the network takes 0 to 8: number the values again"),
        ([2**40, 0], 9, "sample 0 holds 1099511627776, but the network takes 0 to 8: number the values again"),
        ([-1, 2**24 + 1], None, None),
        ([0.0, 1.0], None, "has values of type float64; the network takes integers"),
    ],
)
def test_integers_for_networks(values, below, said):
    """Integers of the vocabulary pass, and any that int64 holds without one; floats do not."""
    found = summary(values)
    text = fitness.integer_problem(found.dtype, found.extremes, below)

    assert text is None if said is None else said in (text or "")


def test_whole_numbers_with_a_scale_are_no_labels():
    """Pixels or fixed-point numbers above 2^24 are measurements: the rule for whole numbers is not theirs."""
    values = np.array([0, 2**24 + 1, 2**30], np.int64)

    assert "cannot hold exactly" in (fitness.rounding_problem(summary(values), is_target=False) or "")
    assert fitness.rounding_problem(summary(values, scale=1 / 255), is_target=False) is None


@pytest.mark.parametrize(
    ("labels", "classes", "said"),
    [
        ([0, 2, 1], 3, None),
        (
            [1, 2, 3],
            3,
            f"sample 2 has label 3, but {OF_THREE}: write 0 to 2, or give the network at least 4 outputs",
        ),
        (
            [0, -1],
            3,
            f"sample 1 has label -1, but {OF_THREE}: write 0 to 2; if this label is missing, write `missing: -1`",
        ),
        ([0.0, 1.5], 3, "sample 1 has label 1.5, which is no whole number"),
        ([False, True], 2, None),
        ([False, True], 1, "label 1, but"),
    ],
)
def test_labels(labels, classes, said):
    """A label is the number of a class, the first and the last included; other numbers are told with their remedy."""
    found = fitness.label_problem(summary(labels), classes)

    assert found is None if said is None else said in (found or "")


@pytest.mark.parametrize(
    ("targets", "scale", "said"),
    [
        ([0.0, 0.5, 1.0], 1.0, None),
        ([0, 255], 1 / 255, None),
        ([0.0, 1.1], 1.0, "sample 1 has target 1.1"),
        ([-0.1, 1.0], 1.0, "sample 0 has target -0.1"),
    ],
)
def test_probabilities(targets, scale, said):
    """A target of a sigmoid lies between 0 and 1, which both are allowed, with the rounding of a scale."""
    found = fitness.probability_problem(summary(targets, scale))

    assert found is None if said is None else said in (found or "")


@pytest.mark.parametrize(
    ("weights", "said"),
    [([0.0, 1.0], None), ([0.5], None), ([1.0, -0.5], "sample 1 has weight -0.5"), ([0.0, 0.0], "all sample weights")],
)
def test_weights(weights, said):
    """Weights are 0 or more, and one of them is more."""
    found = fitness.weight_problem(summary(weights))

    assert found is None if said is None else said in (found or "")

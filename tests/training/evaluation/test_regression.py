"""Metrics of numbers equal those of scikit-learn and SciPy, with weights, and with labels that are missing."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hpcmtl.networks.objective import Objective
from hpcmtl.results.undefined import UndefinedValue
from hpcmtl.training.evaluation.labelled import objective_metric
from hpcmtl.training.evaluation.metrics import compute
from hpcmtl.training.loop import TARGET

ERRORS = {
    "mse": sklearn.metrics.mean_squared_error,
    "rmse": sklearn.metrics.root_mean_squared_error,
    "mae": sklearn.metrics.mean_absolute_error,
    "mape": sklearn.metrics.mean_absolute_percentage_error,
    "r2": sklearn.metrics.r2_score,
}
CORRELATIONS = {
    "pearson": lambda true, made: scipy.stats.pearsonr(true, made)[0],
    "spearman": lambda true, made: scipy.stats.spearmanr(true, made)[0],
}


@st.composite
def numbers(draw):
    """Predictions and true values (n, columns) with ties, and weights of which some are 0."""
    shape = draw(st.integers(2, 20)), draw(st.integers(1, 3))
    values = partial(arrays, np.float64, shape)
    made = draw(values(elements=st.integers(-3, 3).map(float)))
    true = draw(values(elements=st.sampled_from([-2.0, -1.0, 0.5, 1.0, 3.0])))
    return made, true, draw(arrays(np.int64, shape[0], elements=st.integers(0, 3)))


@settings(max_examples=min(60, settings.default.max_examples))
@given(numbers())
def test_errors_equal_scikit_learn(data):
    """Several columns as scikit-learn takes their mean; samples of weight 0 are as if they were not there."""
    made, true, weights = data
    assume(np.count_nonzero(weights) > 1)
    there = weights > 0

    for name, function in ERRORS.items():
        assert compute(name, made, true) == pytest.approx(function(true, made))
        wanted = function(true[there], made[there], sample_weight=weights[there])
        assert compute(f"weighted_{name}", made, true, weights=weights) == pytest.approx(wanted)


@settings(max_examples=min(60, settings.default.max_examples))
@given(numbers())
def test_correlations_equal_scipy(data):
    """The mean over the columns; a whole weight counts as that many samples, ties share the mean of their ranks."""
    made, true, weights = data
    repeated = np.repeat(made, weights, axis=0), np.repeat(true, weights, axis=0)
    assume(len(repeated[0]) > 1)
    assume(all(np.ptp(each, axis=0).all() for each in repeated))

    for name, function in CORRELATIONS.items():
        for form, rows in ((name, (made, true)), (f"weighted_{name}", repeated)):
            wanted = np.mean([function(rows[1][:, k], rows[0][:, k]) for k in range(made.shape[1])])
            assert compute(form, made, true, weights=weights) == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize(
    ("name", "made", "true", "reason"),
    [
        ("pearson", [1.0, 1.0, 1.0], [1.0, 2.0, 3.0], "the predictions are all alike"),
        ("spearman", [1.0, 2.0, 3.0], [2.0, 2.0, 2.0], "the true values are all alike"),
        ("spearman", [1.0], [2.0], "needs two samples"),
        ("mape", [1.0, 2.0], [0.0, 2.0], "divides by the true values, of which 1 are 0; use mae"),
    ],
)
def test_what_has_no_value_says_why(name, made, true, reason):
    """NaN with the reason, in place of a warning or of a number without a meaning."""
    found = compute(name, np.array(made), np.array(true))

    assert isinstance(found, UndefinedValue)
    assert reason in found.reason


def test_missing_labels_are_left_out():
    """Means of errors are over all known labels, the others are the mean over the columns."""
    rng = np.random.default_rng(0)
    made, true, known = rng.normal(size=(30, 3)), rng.normal(size=(30, 3)), rng.random((30, 3)) < 0.6
    rows = {"main": made, f"{TARGET}main": np.where(known, true, np.nan)}
    objective = Objective("main", "t", "l2", 1.0, (), missing="nan")

    for name, function in {**ERRORS, **CORRELATIONS}.items():
        by_column = [function(true[known[:, k], k], made[known[:, k], k]) for k in range(3)]
        wanted = function(true[known], made[known]) if name in {"mse", "mae", "mape"} else np.mean(by_column)
        assert objective_metric(name, objective, rows) == pytest.approx(wanted)
    rows[f"{TARGET}main"][:, 1] = np.where(known[:, 1], 0.5, np.nan)
    undefined = objective_metric("pearson", objective, rows)
    assert math.isnan(undefined)
    assert undefined.reason.startswith("column 1 of the labels: the true values are all alike")

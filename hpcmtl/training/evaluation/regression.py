"""Metrics of numbers, over checked arrays.

Each takes predictions and true values, (n, columns), and how much each row counts, (n,), more than 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hpcmtl.training.evaluation.undefined import UndefinedMetricError

if TYPE_CHECKING:
    from collections.abc import Callable

    from hpcmtl.training.evaluation.ranking import Scores


def _squares(predicted: Scores, true: Scores) -> Scores:
    return np.asarray(((predicted - true) ** 2).mean(axis=1))


def _distances(predicted: Scores, true: Scores) -> Scores:
    return np.asarray(np.abs(predicted - true).mean(axis=1))


VALUES_OF_NUMBERS: dict[str, Callable[[Scores, Scores], Scores]] = {"mse": _squares, "mae": _distances}
"""Metrics that are the mean of values of samples, by name."""


def _mean_of(values: Callable[[Scores, Scores], Scores]) -> Callable[[Scores, Scores, Scores], float]:
    return lambda predicted, true, counts: float(np.average(values(predicted, true), weights=counts))


def _rmse(predicted: Scores, true: Scores, counts: Scores) -> float:
    """Returns the mean over the columns of the root of the mean squared error."""
    return float(np.sqrt(np.average((predicted - true) ** 2, axis=0, weights=counts)).mean())


def _mape(predicted: Scores, true: Scores, counts: Scores) -> float:
    """Returns the mean of the errors as parts of the true values: 0.1 for 10 %."""
    if zeros := np.count_nonzero(true == 0):
        raise UndefinedMetricError(f"it divides by the true values, of which {zeros} are 0; use mae")
    return float(np.average((np.abs(predicted - true) / np.abs(true)).mean(axis=1), weights=counts))


def _r2(predicted: Scores, true: Scores, counts: Scores) -> float:
    """Coefficient of determination; as in scikit-learn a constant column counts 1 if predicted exactly, else 0."""
    if len(true) < 2:
        raise UndefinedMetricError("a coefficient of determination needs two samples, found 1")
    residual = np.average((true - predicted) ** 2, axis=0, weights=counts)
    spread = np.average((true - np.average(true, axis=0, weights=counts)) ** 2, axis=0, weights=counts)
    varies = np.ptp(true, axis=0) > 0  # not `spread > 0`: the mean of equal numbers may be off by a rounding
    scores = np.where(residual == 0, 1.0, 0.0)
    scores[varies] = 1 - residual[varies] / spread[varies]
    return float(scores.mean())


def _pearson(predicted: Scores, true: Scores, counts: Scores) -> float:
    """Returns the mean over the columns of the linear correlation."""
    if len(true) < 2:
        raise UndefinedMetricError("a correlation needs two samples, found 1")
    for what, values in (("predictions", predicted), ("true values", true)):
        if (constant := np.flatnonzero(np.ptp(values, axis=0) == 0)).size:
            where = f" of column {', '.join(map(str, constant))}" if values.shape[1] > 1 else ""
            raise UndefinedMetricError(f"the {what}{where} are all alike, so that nothing can correlate with them")
    left, right = (values - np.average(values, axis=0, weights=counts) for values in (predicted, true))
    spreads = np.average(left**2, axis=0, weights=counts) * np.average(right**2, axis=0, weights=counts)
    if not spreads.all():
        raise UndefinedMetricError("the values differ too little to correlate")
    return float((np.average(left * right, axis=0, weights=counts) / np.sqrt(spreads)).mean())


def _spearman(predicted: Scores, true: Scores, counts: Scores) -> float:
    """Returns the mean over the columns of the correlation of ranks; equal values share the mean of their ranks."""
    return _pearson(_ranks(predicted, counts), _ranks(true, counts), counts)


def _ranks(values: Scores, counts: Scores) -> Scores:
    """Returns ranks in each column, as if each row were there as often as it counts."""
    ranks = np.empty_like(values)
    for number, column in enumerate(values.T):
        _, level = np.unique(column, return_inverse=True)
        sizes = np.bincount(level, weights=counts)
        ranks[:, number] = (np.cumsum(sizes) - sizes / 2)[level]
    return ranks


OF_NUMBERS: dict[str, Callable[[Scores, Scores, Scores], float]] = {
    **{name: _mean_of(values) for name, values in VALUES_OF_NUMBERS.items()},
    "rmse": _rmse,
    "mape": _mape,
    "r2": _r2,
    "pearson": _pearson,
    "spearman": _spearman,
}
"""Metrics by name."""

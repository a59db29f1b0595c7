"""Metrics of one class a sample, over checked arrays.

Each takes scores (n, classes), the numbers (n,) of the true classes, and how much each row counts, (n,), more than 0;
some take a cut-off as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hpcmtl.training.evaluation.calibration import expected_calibration_error
from hpcmtl.training.evaluation.curves import binary_auc, binary_average_precision
from hpcmtl.training.evaluation.undefined import UndefinedMetricError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from hpcmtl.training.evaluation.ranking import Classes, Scores

    Curve = Callable[[Scores, NDArray[np.bool_], Scores], float]


def _right(scores: Scores, classes: Classes, _cutoff: int | None) -> Scores:
    return np.asarray(np.argmax(scores, axis=1) == classes, dtype=np.float64)


def _among_first(scores: Scores, classes: Classes, cutoff: int | None) -> Scores:
    """Returns 1 for each sample whose class is among the `cutoff` highest scores, else 0.

    Of equal scores that of the class with the higher number counts as higher, as in scikit-learn.
    """
    true = scores[np.arange(len(classes)), classes][:, None]
    later = np.arange(scores.shape[1])[None, :] > classes[:, None]
    before = ((scores > true) | ((scores == true) & later)).sum(axis=1)
    return np.asarray(before < (cutoff or 1), dtype=np.float64)


def _losses(scores: Scores, classes: Classes, _cutoff: int | None) -> Scores:
    shifted = scores - scores.max(axis=1, keepdims=True)
    return np.asarray(np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(classes)), classes])


VALUES_OF_SAMPLES: dict[str, Callable[[Scores, Classes, int | None], Scores]] = {
    "accuracy": _right,
    "top_k_accuracy": _among_first,
    "log_loss": _losses,
}
"""Metrics that are the mean of values of samples, by name."""


def _balanced_accuracy(table: Scores) -> float:
    """Returns the mean of the recalls of the classes that are among the targets."""
    right, true, _ = _hits(table)
    there = true > 0
    return float(np.mean(right[there] / true[there]))


def _f1_macro(table: Scores) -> float:
    """Returns the mean of the F1 scores of the classes that are among the targets or the predictions."""
    right, true, predicted = _hits(table)
    there = true + predicted > 0
    return float(np.mean(2 * right[there] / (true + predicted)[there]))


def _precision_macro(table: Scores) -> float:
    """Returns the mean of the precisions of the classes that are among the targets or the predictions."""
    right, true, predicted = _hits(table)
    return _mean_share(right, predicted, true + predicted > 0)


def _recall_macro(table: Scores) -> float:
    """Returns the mean of the recalls of the classes that are among the targets or the predictions."""
    right, true, predicted = _hits(table)
    return _mean_share(right, true, true + predicted > 0)


def _mean_share(right: Scores, of_all: Scores, there: NDArray[np.bool_]) -> float:
    """Returns the mean of shares over the classes that are there; 0 where there is nothing to have a share of."""
    return float(np.divide(right, of_all, out=np.zeros_like(right), where=of_all > 0)[there].mean())


def _hits(table: Scores) -> tuple[Scores, Scores, Scores]:
    """Returns for each class how much its right predictions count, its samples, and all its predictions."""
    return np.diagonal(table), table.sum(axis=1), table.sum(axis=0)


VALUES_OF_TABLES: dict[str, Callable[[Scores], float]] = {
    "balanced_accuracy": _balanced_accuracy,
    "f1_macro": _f1_macro,
    "precision_macro": _precision_macro,
    "recall_macro": _recall_macro,
}
"""Metrics that follow from the confusion matrix, by name."""


def confusion(scores: Scores, classes: Classes, counts: Scores) -> Scores:
    """Returns how much the samples of each true class (row) count that are predicted as each class (column)."""
    number = scores.shape[1]
    cells = classes * number + np.argmax(scores, axis=1)
    return np.bincount(cells, weights=counts, minlength=number * number).reshape(number, number).astype(np.float64)


def _auc(scores: Scores, classes: Classes, counts: Scores) -> float:
    """Area under the ROC curve; for more than two classes the mean of one-versus-rest areas of the probabilities."""
    return _one_versus_rest(binary_auc, scores, classes, counts)


def _average_precision(scores: Scores, classes: Classes, counts: Scores) -> float:
    """Average precision of class 1; for more than two classes the mean of those of each class against the rest."""
    return _one_versus_rest(binary_average_precision, scores, classes, counts)


def _one_versus_rest(curve: Curve, scores: Scores, classes: Classes, counts: Scores) -> float:
    absent = np.setdiff1d(np.arange(scores.shape[1]), classes)
    if absent.size:
        raise UndefinedMetricError(f"none of the {len(classes)} targets is of class {', '.join(map(str, absent))}")
    if scores.shape[1] == 2:  # the difference has the order of the probability, and does not saturate
        return curve(scores[:, 1] - scores[:, 0], classes == 1, counts)
    exponentials = np.exp(scores - scores.max(axis=1, keepdims=True))
    probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
    return float(np.mean([curve(column, classes == k, counts) for k, column in enumerate(probabilities.T)]))


def _mean_of(values: Callable[[Scores, Classes, int | None], Scores]) -> Callable[..., float]:
    return lambda scores, classes, counts, cutoff: float(np.average(values(scores, classes, cutoff), weights=counts))


def _of_table(function: Callable[[Scores], float]) -> Callable[..., float]:
    return lambda scores, classes, counts, _cutoff: function(confusion(scores, classes, counts))


def _plain(function: Callable[[Scores, Classes, Scores], float]) -> Callable[..., float]:
    return lambda scores, classes, counts, _cutoff: function(scores, classes, counts)


OF_CLASSES: dict[str, Callable[[Scores, Classes, Scores, int | None], float]] = {
    **{name: _mean_of(values) for name, values in VALUES_OF_SAMPLES.items()},
    **{name: _of_table(function) for name, function in VALUES_OF_TABLES.items()},
    "auc": _plain(_auc),
    "average_precision": _plain(_average_precision),
    "ece": expected_calibration_error,
}
"""Metrics by name."""

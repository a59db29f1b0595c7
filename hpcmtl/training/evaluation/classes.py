"""Metrics of one class a sample, over checked arrays.

Each takes scores (n, classes), the numbers (n,) of the true classes, and how much each row counts, (n,), more than 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hpcmtl.training.evaluation.undefined import UndefinedMetricError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from hpcmtl.training.evaluation.ranking import Classes, Scores


def _accuracy(scores: Scores, classes: Classes, counts: Scores) -> float:
    return float(np.average(np.argmax(scores, axis=1) == classes, weights=counts))


def _balanced_accuracy(scores: Scores, classes: Classes, counts: Scores) -> float:
    """Returns the mean of the recalls of the classes that are among the targets."""
    right, true, _ = _confusion(scores, classes, counts)
    there = true > 0
    return float(np.mean(right[there] / true[there]))


def _f1_macro(scores: Scores, classes: Classes, counts: Scores) -> float:
    """Returns the mean of the F1 scores of the classes that are among the targets or the predictions."""
    right, true, predicted = _confusion(scores, classes, counts)
    there = true + predicted > 0
    return float(np.mean(2 * right[there] / (true + predicted)[there]))


def _confusion(scores: Scores, classes: Classes, counts: Scores) -> tuple[Scores, Scores, Scores]:
    """Returns for each class how much its right predictions count, its samples, and all its predictions."""
    predicted, number = np.argmax(scores, axis=1), scores.shape[1]
    pairs = ((classes, counts * (predicted == classes)), (classes, counts), (predicted, counts))
    right, true, made = (np.bincount(of, weights=each, minlength=number).astype(np.float64) for of, each in pairs)
    return right, true, made


def _log_loss(scores: Scores, classes: Classes, counts: Scores) -> float:
    shifted = scores - scores.max(axis=1, keepdims=True)
    true = shifted[np.arange(len(classes)), classes]
    return float(np.average(np.log(np.exp(shifted).sum(axis=1)) - true, weights=counts))


def _auc(scores: Scores, classes: Classes, counts: Scores) -> float:
    """Area under the ROC curve; for more than two classes the mean of one-versus-rest areas of the probabilities."""
    absent = np.setdiff1d(np.arange(scores.shape[1]), classes)
    if absent.size:
        raise UndefinedMetricError(f"none of the {len(classes)} targets is of class {', '.join(map(str, absent))}")
    if scores.shape[1] == 2:  # the difference has the order of the probability, and does not saturate
        return binary_auc(scores[:, 1] - scores[:, 0], classes == 1, counts)
    exponentials = np.exp(scores - scores.max(axis=1, keepdims=True))
    probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
    return float(np.mean([binary_auc(column, classes == k, counts) for k, column in enumerate(probabilities.T)]))


def binary_auc(scores: Scores, positive: NDArray[np.bool_], counts: Scores) -> float:
    """Computes the Mann-Whitney statistic (Hanley and McNeil, 1982) of weighted samples: a tie counts one half.

    Args:
        scores: (n,) scores.
        positive: (n,) which samples are positive; some are, and some are not.
        counts: (n,) how much each sample counts.
    """
    _, level = np.unique(scores, return_inverse=True)
    above = np.bincount(level, weights=counts * positive)
    below = np.bincount(level, weights=counts * ~positive)
    wins = (above * (np.cumsum(below) - below / 2)).sum()
    return float(wins / (above.sum() * below.sum()))


OF_CLASSES: dict[str, Callable[[Scores, Classes, Scores], float]] = {
    "accuracy": _accuracy,
    "balanced_accuracy": _balanced_accuracy,
    "f1_macro": _f1_macro,
    "auc": _auc,
    "log_loss": _log_loss,
}
"""Metrics by name."""

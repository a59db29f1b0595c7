"""Metrics of several labels a sample, over checked arrays.

Each takes scores (n, labels), of which those above 0 predict a label (a sigmoid above one half), the true labels
(n, labels), and how much each counts, (n, labels): 0 for a label that is not known, else the weight of its sample. In
each row some label counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hpcmtl.training.evaluation.curves import binary_auc, binary_average_precision
from hpcmtl.training.evaluation.undefined import UndefinedMetricError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from hpcmtl.training.evaluation.ranking import Scores

    Truth = NDArray[np.bool_]


def _f1_micro(scores: Scores, truth: Truth, counts: Scores) -> float:
    """Returns the F1 score over all labels together; 0 if none is true or predicted."""
    right, true, predicted = _hits(scores, truth, counts)
    return _micro(2 * right, true + predicted)


def _f1_macro(scores: Scores, truth: Truth, counts: Scores) -> float:
    """Returns the mean of the F1 scores of the labels; 0 for a label that is never true or predicted."""
    right, true, predicted = _hits(scores, truth, counts)
    return _macro(2 * right, true + predicted, counts)


def _precision_micro(scores: Scores, truth: Truth, counts: Scores) -> float:
    """Returns the share of true ones among all predicted labels; 0 if none is predicted."""
    right, _, predicted = _hits(scores, truth, counts)
    return _micro(right, predicted)


def _precision_macro(scores: Scores, truth: Truth, counts: Scores) -> float:
    """Returns the mean of the precisions of the labels; 0 for a label that is never predicted."""
    right, _, predicted = _hits(scores, truth, counts)
    return _macro(right, predicted, counts)


def _recall_micro(scores: Scores, truth: Truth, counts: Scores) -> float:
    """Returns the share of predicted ones among all true labels; 0 if none is true."""
    right, true, _ = _hits(scores, truth, counts)
    return _micro(right, true)


def _recall_macro(scores: Scores, truth: Truth, counts: Scores) -> float:
    """Returns the mean of the recalls of the labels; 0 for a label that is never true."""
    right, true, _ = _hits(scores, truth, counts)
    return _macro(right, true, counts)


def _micro(right: Scores, of_all: Scores) -> float:
    total = of_all.sum()
    return float(right.sum() / total) if total else 0.0


def _macro(right: Scores, of_all: Scores, counts: Scores) -> float:
    """Returns the mean of shares over the labels of which some are known; 0 where there is nothing to have one of."""
    values = np.divide(right, of_all, out=np.zeros_like(right), where=of_all > 0)
    return float(values[counts.any(axis=0)].mean())


def _hits(scores: Scores, truth: Truth, counts: Scores) -> tuple[Scores, Scores, Scores]:
    """Returns for each label how much true predictions count, true labels, and predictions."""
    predicted = scores > 0
    right, true, made = ((counts * each).sum(axis=0) for each in (truth & predicted, truth, predicted))
    return right, true, made


def _hamming_loss(scores: Scores, truth: Truth, counts: Scores) -> float:
    """Returns the share of wrong labels."""
    return float(np.average((scores > 0) != truth, weights=counts))


def _subset_accuracy(scores: Scores, truth: Truth, counts: Scores) -> float:
    """Returns the share of samples all of whose known labels are right."""
    wrong = ((scores > 0) != truth) & (counts > 0)
    return float(np.average(~wrong.any(axis=1), weights=counts.max(axis=1)))


def _auc_macro(scores: Scores, truth: Truth, counts: Scores) -> float:
    """Returns the mean of the areas under the ROC curves of the labels."""
    columns = np.flatnonzero(counts.any(axis=0))
    true, all_ = (counts * truth).sum(axis=0), counts.sum(axis=0)
    constant = [str(column) for column in columns if not 0 < true[column] < all_[column]]
    if constant:
        raise UndefinedMetricError(f"the known targets are all alike, 0 or 1, for label {', '.join(constant)}")
    return float(np.mean([binary_auc(scores[:, k], truth[:, k], counts[:, k]) for k in columns]))


def _average_precision(scores: Scores, truth: Truth, counts: Scores) -> float:
    """Returns the mean of the average precisions of the labels."""
    columns = np.flatnonzero(counts.any(axis=0))
    true = (counts * truth).sum(axis=0)
    never = [str(column) for column in columns if not true[column]]
    if never:
        raise UndefinedMetricError(f"no known target is 1 for label {', '.join(never)}")
    return float(np.mean([binary_average_precision(scores[:, k], truth[:, k], counts[:, k]) for k in columns]))


def _ranking_loss(scores: Scores, truth: Truth, counts: Scores) -> float:
    """Returns the mean over samples of the share of pairs of a true and a false label in the wrong order.

    A tie is wrong. A sample without a pair has 0.
    """
    true, false = truth & (counts > 0), ~truth & (counts > 0)
    order = np.lexsort((false, scores), axis=1)  # ascending; the true ones first among equal scores
    true, false = np.take_along_axis(true, order, axis=1), np.take_along_axis(false, order, axis=1)
    pairs = true.sum(axis=1, dtype=np.float64) * false.sum(axis=1)
    wrong = (np.cumsum(true, axis=1) * false).sum(axis=1, dtype=np.float64)
    shares = np.divide(wrong, pairs, out=np.zeros_like(pairs), where=pairs > 0)
    return float(np.average(shares, weights=counts.max(axis=1)))


OF_LABELS: dict[str, Callable[[Scores, Truth, Scores], float]] = {
    "f1_micro": _f1_micro,
    "f1_macro": _f1_macro,
    "precision_micro": _precision_micro,
    "precision_macro": _precision_macro,
    "recall_micro": _recall_micro,
    "recall_macro": _recall_macro,
    "hamming_loss": _hamming_loss,
    "subset_accuracy": _subset_accuracy,
    "auc_macro": _auc_macro,
    "average_precision": _average_precision,
    "ranking_loss": _ranking_loss,
}
"""Metrics by name."""

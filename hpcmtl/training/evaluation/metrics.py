"""Metrics over the predictions of a whole split, gathered from all ranks: exact, ties included.

The code is plain numpy with the definitions of scikit-learn, which the tests compare. scikit-learn itself is not
called. Its multi-class AUC requires probabilities and raises an error for an absent class. Its NDCG is a Python loop
over the rows and refuses a query with one document. Its import takes a second.

Arrays:
    metrics of classes (`jobfile.metrics`): outputs are raw scores (n, classes), or logits of a sigmoid head, (n,) or
        (n, 1); targets are class numbers, (n,) or (n, 1).
    metrics of labels: outputs are logits (n, labels), targets are 0 and 1, (n, labels).
    mrr, ndcg (also mrr@10, ndcg@10): outputs (n, classes) and the number of the one relevant class; with
        `groups`, scores and relevances (n,) of documents and the query of each.
    metrics of numbers: outputs and targets of the same shape (n, ...).
    weighted_accuracy and others: the same, with the weights (n,) of the rows.

A metric without a value (no rows, an absent class, a NaN among the scores) is NaN with the reason, see
`hpcmtl.results.undefined`; the log has the reason as well.
"""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING

import numpy as np

from hpcmtl.jobfile.metrics import METRICS_OF_QUERIES, is_own, parse_metric
from hpcmtl.results.undefined import UndefinedValue
from hpcmtl.training.evaluation.checked_rows import (
    as_classes,
    as_columns,
    as_documents,
    as_labels,
    need_finite_rows,
    need_weight,
    refuse,
    require_lengths,
    sample_counts,
)
from hpcmtl.training.evaluation.classes import OF_CLASSES, confusion
from hpcmtl.training.evaluation.multilabel import OF_LABELS
from hpcmtl.training.evaluation.own import own_metric
from hpcmtl.training.evaluation.ranking import over_classes, over_queries
from hpcmtl.training.evaluation.regression import OF_NUMBERS
from hpcmtl.training.evaluation.undefined import UndefinedMetricError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hpcmtl.jobfile.metrics import MetricName
    from hpcmtl.training.evaluation.checked_rows import AnyArray
    from hpcmtl.training.evaluation.ranking import Scores

    KnownLabels = NDArray[np.bool_]

_log = logging.getLogger(__name__)


def parse(name: str) -> MetricName:
    """Splits the name of a metric, e.g. ``ndcg@10``, into its parts.

    Raises:
        InputError: there is no such metric, or the cut-off is no positive integer or has no meaning for it.
    """
    try:
        return parse_metric(name)
    except ValueError as problem:
        refuse(name, [str(problem)])


def compute(
    name: str,
    outputs: AnyArray,
    targets: AnyArray,
    groups: AnyArray | None = None,
    weights: AnyArray | None = None,
    *,
    known: KnownLabels | None = None,
) -> float:
    """Computes one metric over all rows; their order has no effect.

    Args:
        name: one of `METRICS`, with its cut-off, as in ``ndcg@10``, or a function of the user's.
        outputs: (n, classes), (n, 1) or (n,) raw scores, or (n, ...) predictions of a regression.
        targets: (n,) class numbers, (n,) relevances where `groups` is given, or (n, ...) true values.
        groups: (n,) query of each row, for mrr and ndcg over documents.
        weights: (n,) weight of each row; metrics whose names begin with ``weighted_`` need it, and functions of the
            user's get it.
        known: (n, labels) which labels are known; only for metrics of several labels a sample; None for all.

    Returns:
        The metric; an `UndefinedValue` if it has no value, with the reason in the log.

    Raises:
        InputError: there is no such metric, or outputs and targets do not fit each other or the metric.
    """
    try:
        return _value(name, outputs, targets, groups, weights, known=known)
    except UndefinedMetricError as reason:
        _log.warning("metric %s has no value here: %s", name, reason)
        return UndefinedValue(str(reason))


def _value(
    name: str,
    outputs: AnyArray,
    targets: AnyArray,
    groups: AnyArray | None = None,
    weights: AnyArray | None = None,
    *,
    known: KnownLabels | None = None,
) -> float:
    """Computes what `compute` does; raises `UndefinedMetricError` for a metric without a value."""
    parsed, scores, truth = parse(name), np.asarray(outputs, dtype=np.float64), np.asarray(targets)
    require_lengths(name, scores, truth, groups)
    need_finite_rows(scores, truth)
    if is_own(name):
        return own_metric(name, np.asarray(outputs), truth, weights, known)
    if parsed.base in METRICS_OF_QUERIES:
        if groups is not None:
            return over_queries(parsed.base, *as_documents(name, scores, truth, groups), parsed.cutoff)
        if scores.size == len(scores):
            refuse(name, [f"outputs of shape {scores.shape} rank nothing; give (n, classes), or groups"])
        return over_classes(parsed.base, *as_classes(name, scores, truth), parsed.cutoff)
    if parsed.description is not None and parsed.description.publishes_table:
        refuse(name, ["is a table of numbers; see `confusion_table`"])
    counts = sample_counts(name, weights, len(scores), weighted=parsed.weighted)
    need_weight(counts)
    if parsed.base in OF_LABELS and (parsed.base not in OF_CLASSES or truth.size != len(truth)):
        return OF_LABELS[parsed.base](*as_labels(name, scores, truth, counts, known))
    rows, there = (scores[counts > 0], truth[counts > 0]), counts[counts > 0]
    if parsed.base in OF_NUMBERS:
        return OF_NUMBERS[parsed.base](*as_columns(name, *rows), there)
    return OF_CLASSES[parsed.base](*as_classes(name, *rows), there, parsed.cutoff)


def confusion_table(name: str, outputs: AnyArray, targets: AnyArray, weights: AnyArray | None = None) -> Scores:
    """Returns how many samples of each true class (row) are predicted as each class (column).

    Args:
        name: ``confusion_matrix``, or ``weighted_confusion_matrix`` for the sums of their weights.
        outputs: as for `compute`.
        targets: (n,) class numbers.
        weights: (n,) weight of each row.

    Raises:
        InputError: outputs and targets do not fit each other.
    """
    scores, truth = np.asarray(outputs, dtype=np.float64), np.asarray(targets)
    require_lengths(name, scores, truth, None)
    counts = sample_counts(name, weights, len(scores), weighted=parse(name).weighted)
    if not len(scores):
        return np.zeros((max(math.prod(scores.shape[1:]), 2),) * 2)
    return confusion(*as_classes(name, scores, truth), counts)


def over_known_labels(
    name: str, outputs: AnyArray, targets: AnyArray, known: KnownLabels, weights: AnyArray | None
) -> float:
    """Computes a metric where samples have several labels, some of which are known; see `compute`.

    Metrics of several labels a sample count those that are known. Each other metric is taken of each column of labels
    by itself. A mean of errors is that over all known labels, the others are the plain mean over the columns. A column
    with too few known labels is left out: without any, for ``r2`` and correlations with a single one too. A function of
    the user's gets the weights of single labels.

    Args:
        name: name of a metric that takes several labels a sample.
        outputs: (n, ...) predictions.
        targets: (n, ...) labels.
        known: (n, labels of a sample) which labels are known.
        weights: (n,) weight of each sample; None without.
    """
    scores, truth = np.reshape(outputs, known.shape), np.reshape(targets, known.shape)
    described, present = (
        parse(name).description,
        np.where(known, truth, truth.dtype.type(0)),
    )  # a missing one may be NaN
    if described is None or "labels" in described.targets:
        return compute(name, scores, present, weights=weights, known=known)
    each = sample_counts(name, weights, len(known), weighted=parse(name).weighted)
    counts = known * each[:, None]
    sizes, values = counts.sum(axis=0, dtype=np.float64), []
    columns = np.flatnonzero(np.count_nonzero(counts, axis=0) >= described.least)
    for column in columns:
        rows = known[:, column]
        own = None if weights is None else weights[rows]
        value = compute(name, scores[rows, column], truth[rows, column], weights=own)
        if isinstance(value, UndefinedValue):
            return UndefinedValue(f"column {column} of the labels: {value.reason}")
        values.append(value)
    if not values:
        return UndefinedValue("no column of the labels has enough known ones")
    return float(np.average(values, weights=sizes[columns] if described.pools_columns else None))

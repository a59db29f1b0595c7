"""Metrics over the predictions of a whole split, gathered from all ranks: exact, ties included.

The code is plain numpy with the definitions of scikit-learn, which the tests compare. scikit-learn itself is not
called. Its multi-class AUC requires probabilities and raises an error for an absent class. Its NDCG is a Python loop
over the rows and refuses a query with one document. Its import takes a second.

Arrays:
    accuracy, balanced_accuracy, f1_macro, auc, log_loss: outputs are raw scores (n, classes), or logits of a sigmoid
        head, (n,) or (n, 1); targets are class numbers, (n,) or (n, 1).
    f1_micro, f1_macro, hamming_loss, subset_accuracy, auc_macro, ranking_loss: outputs are logits (n, labels), targets
        are 0 and 1, (n, labels).
    mrr, ndcg (also mrr@10, ndcg@10): outputs (n, classes) and the number of the one relevant class; with
        `groups`, scores and relevances (n,) of documents and the query of each.
    mse, r2: outputs and targets of the same shape (n, ...); r2 is the plain mean over the columns.
    weighted_accuracy and others: the same, with the weights (n,) of the rows.

A metric without a value (no rows, an absent class, a NaN among the scores) is nan, and the log has the reason.
"""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING

import numpy as np

from hpcmtl.errors import InputError, Problem, nearest
from hpcmtl.jobfile.tasks import METRICS, METRICS_WITH_CUTOFF, WEIGHTED
from hpcmtl.training.evaluation.classes import OF_CLASSES
from hpcmtl.training.evaluation.multilabel import OF_LABELS
from hpcmtl.training.evaluation.ranking import over_classes, over_queries
from hpcmtl.training.evaluation.undefined import UndefinedMetricError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from hpcmtl.training.evaluation.ranking import Classes, Scores

    AnyArray = NDArray[np.generic]


_log = logging.getLogger(__name__)


def parse(name: str) -> tuple[str, int | None]:
    """Splits the name of a metric, e.g. ``ndcg@10``, into the metric and its cut-off.

    Raises:
        InputError: there is no such metric, or the cut-off is no positive integer or has no meaning for it.
    """
    metric, at, cutoff = name.partition("@")
    if metric not in METRICS:
        message = f"there is no metric {metric!r}{nearest(metric, METRICS)}"
    elif not at:
        return metric.removeprefix(WEIGHTED), None
    elif metric not in METRICS_WITH_CUTOFF:
        message = f"{metric} takes no cut-off; write {metric!r} (only {' and '.join(METRICS_WITH_CUTOFF)} have one)"
    elif not (cutoff.isascii() and cutoff.isdigit() and int(cutoff) > 0):
        message = f"the cut-off {cutoff!r} is not a positive integer; write for example '{metric}@10'"
    else:
        return metric, int(cutoff)
    raise InputError([Problem(f"metric {name!r}", message)])


def compute(
    name: str,
    outputs: AnyArray,
    targets: AnyArray,
    groups: AnyArray | None = None,
    weights: AnyArray | None = None,
    *,
    known: NDArray[np.bool_] | None = None,
) -> float:
    """Computes one metric over all rows; their order has no effect.

    Args:
        name: one of `METRICS`; mrr and ndcg may have a cut-off, as in ``ndcg@10``.
        outputs: (n, classes), (n, 1) or (n,) raw scores, or (n, ...) predictions of a regression.
        targets: (n,) class numbers, (n,) relevances where `groups` is given, or (n, ...) true values.
        groups: (n,) query of each row, for mrr and ndcg over documents.
        weights: (n,) weight of each row; only metrics whose names begin with ``weighted_`` use it, and need it.
        known: (n, labels) which labels are known; only for metrics of several labels a sample; None for all.

    Returns:
        The metric; nan if it has no value, with the reason in the log.

    Raises:
        InputError: there is no such metric, or outputs and targets do not fit each other or the metric.
    """
    metric, cutoff = parse(name)
    scores, truth = np.asarray(outputs, dtype=np.float64), np.asarray(targets)
    _refuse(name, _length_problems(scores, truth, groups))
    try:
        _need_finite_rows(scores, truth)
        if metric not in METRICS_WITH_CUTOFF:
            return _of_rows(name, scores, truth, weights, known)
        if groups is not None:
            return over_queries(metric, *_documents(name, scores, truth, groups), cutoff)
        if scores.size == len(scores):
            _refuse(name, [f"outputs of shape {scores.shape} rank nothing; give (n, classes), or groups"])
        return over_classes(metric, *_classes(name, scores, truth), cutoff)
    except UndefinedMetricError as reason:
        _log.warning("metric %s has no value here and is reported as nan: %s", name, reason)
        return math.nan


def _of_rows(
    name: str, scores: Scores, truth: AnyArray, weights: AnyArray | None, known: NDArray[np.bool_] | None
) -> float:
    """Computes a metric in which each row counts by itself."""
    metric, counts = parse(name)[0], _counts(name, weights, len(scores))
    if metric in OF_LABELS and (metric not in OF_CLASSES or truth.size != len(truth)):
        return OF_LABELS[metric](*_multilabel(name, scores, truth, counts, known))
    rows = _kept(counts, scores, truth)
    if metric in _REGRESSION:
        return _REGRESSION[metric](*_columns(name, *rows), counts[counts > 0])
    return OF_CLASSES[metric](*_classes(name, *rows), counts[counts > 0])


def over_known_labels(
    name: str, outputs: AnyArray, targets: AnyArray, known: NDArray[np.bool_], weights: AnyArray | None
) -> float:
    """Computes a metric where samples have several labels, some of which are known; see `compute`.

    Metrics of several labels a sample count those that are known. Each other metric is taken of each column of labels
    by itself. A mean of errors is that over all known labels, ``r2`` is the plain mean over the columns. A column
    without a known label is left out, for ``r2`` one with a single one too.

    Args:
        name: name of a metric that takes several labels a sample.
        outputs: (n, ...) predictions.
        targets: (n, ...) labels.
        known: (n, labels of a sample) which labels are known.
        weights: (n,) weight of each sample; None without.
    """
    scores, truth = np.reshape(outputs, known.shape), np.reshape(targets, known.shape)
    if parse(name)[0] in OF_LABELS:
        present = np.where(known, truth, truth.dtype.type(0))  # a missing one may be NaN
        return compute(name, scores, present, weights=weights, known=known)
    counts, even = known * _sample_counts(name, weights, len(known))[:, None], parse(name)[0] == "r2"
    sizes, values = counts.sum(axis=0, dtype=np.float64), []
    columns = np.flatnonzero(np.count_nonzero(counts, axis=0) > (1 if even else 0))
    for column in columns:
        rows = known[:, column]
        own = None if weights is None else weights[rows]
        values.append(compute(name, scores[rows, column], truth[rows, column], weights=own))
    return float(np.average(values, weights=None if even else sizes[columns])) if values else math.nan


def _kept(counts: Scores, scores: Scores, truth: AnyArray) -> tuple[Scores, AnyArray]:
    """Returns the rows that count."""
    return scores[counts > 0], truth[counts > 0]


def _counts(name: str, weights: AnyArray | None, rows: int) -> Scores:
    """Returns how much each row counts; see `_sample_counts`."""
    counts = _sample_counts(name, weights, rows)
    if not counts.sum() > 0:
        raise UndefinedMetricError("the weights of the samples are all 0")
    return counts


def _sample_counts(name: str, weights: AnyArray | None, rows: int) -> Scores:
    """Returns how much each row counts: 1, or its weight."""
    if not name.startswith(WEIGHTED):
        return np.ones(rows)
    if weights is None or np.shape(weights) != (rows,):
        _refuse(name, [f"weights must have shape ({rows},), found {None if weights is None else np.shape(weights)}"])
    return np.asarray(weights, dtype=np.float64)


def _refuse(name: str, messages: list[str]) -> None:
    if messages:
        raise InputError([Problem(f"metric {name!r}", message) for message in messages])


def _length_problems(scores: Scores, truth: AnyArray, groups: AnyArray | None) -> list[str]:
    if scores.ndim == 0 or truth.ndim == 0:
        return ["outputs and targets must be arrays with one row a sample, found a single number"]
    messages = []
    if len(scores) != len(truth):
        messages.append(f"{len(scores)} rows of outputs but {len(truth)} of targets; gather both alike")
    if groups is not None and np.shape(groups) != (len(scores),):
        messages.append(f"groups must have shape ({len(scores)},), found {np.shape(groups)}")
    return messages


def _need_finite_rows(scores: Scores, truth: AnyArray) -> None:
    if len(scores) == 0:
        raise UndefinedMetricError("there are no samples")
    for what, values in (("outputs", scores), ("targets", truth.astype(np.float64))):
        bad = values.size - np.count_nonzero(np.isfinite(values))
        if bad:
            raise UndefinedMetricError(f"{bad} of the {values.size} {what} are NaN or infinite")


def _columns(name: str, scores: Scores, truth: AnyArray) -> tuple[Scores, Scores]:
    predicted, true = scores.reshape(len(scores), -1), truth.astype(np.float64).reshape(len(truth), -1)
    if predicted.shape != true.shape:
        _refuse(name, [f"outputs of shape {scores.shape} do not fit targets of shape {truth.shape}"])
    return predicted, true


def _classes(name: str, scores: Scores, truth: AnyArray) -> tuple[Scores, Classes]:
    """Returns scores (n, classes) and classes (n,); the logit z of a sigmoid becomes the scores (0, z)."""
    messages = []
    if scores.size == len(scores):
        scores = np.stack([np.zeros(len(scores)), scores.reshape(-1)], axis=1)
    elif scores.ndim != 2:
        messages.append(f"outputs must be (n, classes) scores or (n,) logits, found shape {scores.shape}")
    classes = truth.astype(np.int64)
    if truth.size != len(truth):
        messages.append(f"targets must be (n,) class numbers, found shape {truth.shape}")
    elif not np.array_equal(truth, classes):
        messages.append("targets must be class numbers, found fractions; is this a regression? Use mse or r2")
    elif scores.ndim == 2 and (classes.min() < 0 or classes.max() >= scores.shape[1]):
        found = f"{classes.min()} to {classes.max()}"
        messages.append(f"the outputs tell classes 0 to {scores.shape[1] - 1} apart, but targets are {found}")
    _refuse(name, messages)
    return scores, classes.reshape(-1)


def _multilabel(
    name: str, scores: Scores, truth: AnyArray, counts: Scores, known: NDArray[np.bool_] | None
) -> tuple[Scores, NDArray[np.bool_], Scores]:
    """Returns scores, labels and how much each label counts, (n, labels), of the rows in which some label counts."""
    messages = []
    if truth.size == len(truth):
        text = f"targets must be several labels a sample, (n, labels), found shape {truth.shape}"
        messages.append(f"{text}; for class numbers use f1_macro, balanced_accuracy, accuracy or auc")
    elif scores.size != truth.size:
        messages.append(f"outputs of shape {scores.shape} do not fit targets of shape {truth.shape}")
    positive = truth == 1
    if not (positive | (truth == 0)).all():
        messages.append("targets must be 0 or 1, found other numbers; use mse, or write 0 and 1")
    _refuse(name, messages)
    shape = len(truth), truth.size // len(truth)
    each = np.broadcast_to(counts[:, np.newaxis], shape) * (True if known is None else known)
    rows = each.any(axis=1)
    if not rows.any():
        raise UndefinedMetricError("no label is known")
    return scores.reshape(shape)[rows], positive.reshape(shape)[rows], each[rows]


def _documents(name: str, scores: Scores, truth: AnyArray, groups: AnyArray) -> tuple[Scores, Scores, Classes]:
    """Returns scores, relevances and query numbers from 0 of the documents, each (n,)."""
    messages = [
        f"with groups, {what} must be (n,), one number a document, found shape {values.shape}"
        for what, values in (("outputs", scores), ("targets", truth))
        if values.size != len(values)
    ]
    gains = truth.astype(np.float64)
    if gains.min() < 0:
        messages.append(f"relevances must not be negative, found {gains.min():g}")
    _refuse(name, messages)
    queries = np.unique(groups, return_inverse=True)[1].astype(np.int64)
    return scores.reshape(-1), gains.reshape(-1), queries


def _mse(predicted: Scores, true: Scores, counts: Scores) -> float:
    return float(np.average(((predicted - true) ** 2).mean(axis=1), weights=counts))


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


_REGRESSION: dict[str, Callable[[Scores, Scores, Scores], float]] = {"mse": _mse, "r2": _r2}

"""Checks of the rows that a metric is computed over, and the forms in which metrics of each kind take them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import numpy as np

from hpcmtl.errors import InputError, Problem
from hpcmtl.jobfile.metrics import METRICS_OF_CLASSES, METRICS_OF_LABELS
from hpcmtl.training.evaluation.undefined import UndefinedMetricError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from hpcmtl.training.evaluation.ranking import Classes, Scores

    AnyArray = NDArray[np.generic]


def refuse(name: str, messages: Iterable[str]) -> NoReturn:
    """Refuses rows that a metric cannot take.

    Raises:
        InputError: always; it has all messages.
    """
    raise InputError([Problem(f"metric {name!r}", message) for message in messages])


def _require(name: str, messages: list[str]) -> None:
    if messages:
        refuse(name, messages)


def require_lengths(name: str, scores: Scores, truth: AnyArray, groups: AnyArray | None) -> None:
    """Refuses arrays of other than one row a sample.

    Raises:
        InputError: outputs, targets and groups differ in their numbers of rows, or one has no rows.
    """
    if scores.ndim == 0 or truth.ndim == 0:
        refuse(name, ["outputs and targets must be arrays with one row a sample, found a single number"])
    messages = []
    if len(scores) != len(truth):
        messages.append(f"{len(scores)} rows of outputs but {len(truth)} of targets; gather both alike")
    if groups is not None and np.shape(groups) != (len(scores),):
        messages.append(f"groups must have shape ({len(scores)},), found {np.shape(groups)}")
    _require(name, messages)


def need_finite_rows(scores: Scores, truth: AnyArray) -> None:
    """Raises `UndefinedMetricError` without rows, or with a NaN among them."""
    if len(scores) == 0:
        raise UndefinedMetricError("there are no samples")
    for what, values in (("outputs", scores), ("targets", truth.astype(np.float64))):
        bad = values.size - np.count_nonzero(np.isfinite(values))
        if bad:
            raise UndefinedMetricError(f"{bad} of the {values.size} {what} are NaN or infinite")


def sample_counts(name: str, weights: AnyArray | None, rows: int, *, weighted: bool) -> Scores:
    """Returns how much each row counts: 1, or its weight.

    Raises:
        InputError: there are no weights, or another number of them.
    """
    if not weighted:
        return np.ones(rows)
    if weights is None or np.shape(weights) != (rows,):
        refuse(name, [f"weights must have shape ({rows},), found {None if weights is None else np.shape(weights)}"])
    return np.asarray(weights, dtype=np.float64)


def need_weight(counts: Scores) -> None:
    """Raises `UndefinedMetricError` if no row counts."""
    if not counts.sum() > 0:
        raise UndefinedMetricError("the weights of the samples are all 0")


def as_columns(name: str, scores: Scores, truth: AnyArray) -> tuple[Scores, Scores]:
    """Returns predictions and true values, (n, columns)."""
    predicted, true = scores.reshape(len(scores), -1), truth.astype(np.float64).reshape(len(truth), -1)
    if predicted.shape != true.shape:
        refuse(name, [f"outputs of shape {scores.shape} do not fit targets of shape {truth.shape}"])
    return predicted, true


def as_classes(name: str, scores: Scores, truth: AnyArray) -> tuple[Scores, Classes]:
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
    _require(name, messages)
    return scores, classes.reshape(-1)


def as_labels(
    name: str, scores: Scores, truth: AnyArray, counts: Scores, known: NDArray[np.bool_] | None
) -> tuple[Scores, NDArray[np.bool_], Scores]:
    """Returns scores, labels and how much each label counts, (n, labels), of the rows in which some label counts."""
    messages = []
    if truth.size == len(truth):
        text = f"targets must be several labels a sample, (n, labels), found shape {truth.shape}"
        for_classes = ", ".join(each for each in METRICS_OF_CLASSES if each not in METRICS_OF_LABELS)
        messages.append(f"{text}; for class numbers use f1_macro, {for_classes}")
    elif scores.size != truth.size:
        messages.append(f"outputs of shape {scores.shape} do not fit targets of shape {truth.shape}")
    positive = truth == 1
    if not (positive | (truth == 0)).all():
        messages.append("targets must be 0 or 1, found other numbers; use mse, or write 0 and 1")
    _require(name, messages)
    shape = len(truth), truth.size // len(truth)
    each = np.broadcast_to(counts[:, np.newaxis], shape) * (True if known is None else known)
    rows = each.any(axis=1)
    if not rows.any():
        raise UndefinedMetricError("no label is known")
    return scores.reshape(shape)[rows], positive.reshape(shape)[rows], each[rows]


def as_documents(name: str, scores: Scores, truth: AnyArray, groups: AnyArray) -> tuple[Scores, Scores, Classes]:
    """Returns scores, relevances and query numbers from 0 of the documents, each (n,)."""
    messages = [
        f"with groups, {what} must be (n,), one number a document, found shape {values.shape}"
        for what, values in (("outputs", scores), ("targets", truth))
        if values.size != len(values)
    ]
    gains = truth.astype(np.float64)
    if gains.min() < 0:
        messages.append(f"relevances must not be negative, found {gains.min():g}")
    _require(name, messages)
    queries = np.unique(groups, return_inverse=True)[1].astype(np.int64)
    return scores.reshape(-1), gains.reshape(-1), queries

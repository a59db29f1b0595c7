"""Checks that metrics have a meaning for the outputs and targets of an objective, and that its queries serve them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from hpcmtl.jobfile.arrays import UNKNOWN
from hpcmtl.jobfile.kinds import kind_of
from hpcmtl.jobfile.metrics import (
    METRICS_OF_LABELS,
    METRICS_OF_QUERIES,
    base_of,
    describe_metric,
    parse_metric,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hpcmtl.jobfile.arrays import ArraySpec
    from hpcmtl.jobfile.metrics import MetricDescription
    from hpcmtl.jobfile.schema import Job
    from hpcmtl.networks.objective import Objective
    from hpcmtl.networks.shapes import Shape

REGRESSION_LOSSES = ("l2", "l1", "huber")
MOST_CLASSES = 256
"""Largest number of classes of a confusion matrix, whose numbers are in the results."""
_CLASSIFY = "use accuracy, balanced_accuracy, f1_macro, auc or log_loss"


def metric_problem(metric: str, objective: Objective, made: Shape | None, target: ArraySpec) -> str | None:
    """Returns a message if a metric has no meaning for an objective, else None; see `evaluation.metrics`."""
    described = describe_metric(metric)
    if described is None:  # a function of the user's, which is tried
        return None
    if "numbers" in described.targets:
        if objective.loss == "softmax_ce":
            return f"{metric} compares numbers, but softmax_ce trains scores of classes; {_CLASSIFY}"
        return _sizes_problem(metric, objective, made, target.shape)
    if described.takes_queries and objective.query is not None:
        return _document_problem(metric, objective, made, target.shape)
    if objective.loss in REGRESSION_LOSSES and not described.needs_order:
        return f"{metric} takes outputs for scores of classes, but {objective.loss} trains numbers; use mse or r2"
    return _class_problem(metric, described, objective, made, target.shape)


def _class_problem(
    metric: str, described: MetricDescription, objective: Objective, made: Shape | None, shape: Shape | None
) -> str | None:
    """Returns why outputs are no scores of classes or labels that a metric takes."""
    several = shape is not None and math.prod(shape) != 1
    if "labels" in described.targets and (several or "class" not in described.targets):
        if objective.loss == "softmax_ce" or not (several or shape is None):
            text = f"{metric} takes several labels a sample, but {objective.target} has one class number a sample"
            return f"{text}, of which micro averages are the accuracy; {_CLASSIFY}"
        return _sizes_problem(metric, objective, made, shape)
    if several:
        text = f"{metric} needs one class number a sample, but {objective.target} has samples of shape {shape}"
        return f"{text}; for several labels a sample use {', '.join(METRICS_OF_LABELS)}, or mse"
    if made is None:
        return None
    if len(made) != 1 and math.prod(made) != 1:
        return f"{metric} needs one score a class, but the network makes samples of shape {made}"
    if described.takes_queries and math.prod(made) == 1:
        return f"{metric} ranks classes, but the network has a single output; name the `query` of each document"
    classes, cutoff = max(math.prod(made), 2), parse_metric(metric).cutoff
    if described.counts == "classes" and cutoff is not None and cutoff >= classes:
        return f"{metric} is always 1: the network tells {classes} classes apart; write a smaller number"
    if described.publishes_table and classes > MOST_CLASSES:
        text = f"{metric} of {classes} classes has {classes * classes} numbers, and goes up to {MOST_CLASSES} classes"
        return f"{text}; publish the outputs by a predict task"
    return None


def _document_problem(metric: str, objective: Objective, made: Shape | None, shape: Shape | None) -> str | None:
    if shape is not None and math.prod(shape) != 1:
        return f"{metric} ranks documents by one relevance each, but {objective.target} has samples of shape {shape}"
    if made is not None and math.prod(made) != 1:
        text = f"{metric} ranks the documents of each query by one score, but the network makes samples of shape {made}"
        return f"{text}; give it one output, or leave `query` out to rank classes"
    return None


def _sizes_problem(metric: str, objective: Objective, made: Shape | None, shape: Shape | None) -> str | None:
    if made is not None and shape is not None and math.prod(made) != math.prod(shape):
        return f"{metric} compares outputs of shape {made} with {objective.target} of shape {shape}: they differ"
    return None


def query_problems(
    job: Job, name: str, objectives: tuple[Objective, ...], arrays: Mapping[str, ArraySpec]
) -> Iterator[tuple[Objective, str]]:
    """Yields objectives whose queries cannot be used, with the reason.

    Args:
        job: a sound job.
        name: name of the task that has the objectives.
        objectives: the objectives.
        arrays: known arrays by reference.
    """
    evaluated = [kind_of(job, each).metrics(job, each) for each, task in job.tasks.items() if name in task.needs]
    for each in objectives:
        if each.query is None:
            continue
        array = arrays.get(each.query, UNKNOWN)
        asked = (*each.metrics, *(metric for metrics in evaluated for metric in metrics))
        if array.shape is not None and (array.shape or array.kind not in "iu"):
            found = f"has samples of shape {array.shape}" if array.shape else "has no whole numbers"
            yield each, f"{each.query} {found}; name an array with the number of the query of each sample"
        elif each.per_token:
            yield each, "a document is a sample, and `per_token` has a label for each token; leave one out"
        elif not any(base_of(metric) in METRICS_OF_QUERIES for metric in asked):
            text = "no metric ranks the documents of a query, so that it has no effect"
            yield each, f"{text}: add {' or '.join(METRICS_OF_QUERIES)} to `metrics`, or leave it out"

"""Checks the values that a task reads against its network, its losses and its metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcmtl.data.fitness import label_problem, network_problem, probability_problem, weight_problem
from hpcmtl.jobfile.kinds import kind_of
from hpcmtl.jobfile.references import references_of
from hpcmtl.jobfile.tasks import WEIGHTED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hpcmtl.data.values import ValueSummary
    from hpcmtl.jobfile.findings import Finding
    from hpcmtl.jobfile.schema import Job
    from hpcmtl.networks.models import Shape
    from hpcmtl.networks.objective import Objective

_OF_CLASSES = frozenset({"accuracy", "auc", "log_loss", "mrr", "ndcg"})
"""Metrics whose targets are numbers of classes."""

_BY_CLASS = {
    **dict.fromkeys(("SoftmaxCELoss", "SoftmaxCrossEntropyLoss"), "softmax_ce"),
    **dict.fromkeys(("SigmoidBCELoss", "SigmoidBinaryCrossEntropyLoss"), "sigmoid_bce"),
}
"""Losses that users name by their class, as ``package.module:SoftmaxCELoss``."""


def targets_of_classes(job: Job, name: str) -> tuple[Objective, ...]:
    """Returns the objectives of a task whose targets must be numbers of classes, or probabilities."""
    read = {reference for _, reference in references_of(job, name)}
    return tuple(
        objective
        for objective in kind_of(job, name).objectives(job, name)
        if objective.target in read and (_classes_wanted(job, name, objective) or _loss(objective) == "sigmoid_bce")
    )


def _loss(objective: Objective) -> str:
    return _BY_CLASS.get(objective.loss.rpartition(":")[2], objective.loss)


def _classes_wanted(job: Job, name: str, objective: Objective) -> bool:
    asked = getattr(job.tasks[name], "metrics", ()) or objective.metrics
    return _loss(objective) == "softmax_ce" or any(
        metric.removeprefix(WEIGHTED).partition("@")[0] in _OF_CLASSES for metric in asked
    )


def value_checks(
    job: Job,
    name: str,
    outputs: Mapping[str, Shape | None],
    summaries: Mapping[str, ValueSummary],
) -> Iterator[Finding]:
    """Yields the keys of the arrays whose values a task with a network cannot use, with the reasons.

    Args:
        job: a sound job.
        name: name of the task.
        outputs: name of an objective -> shape of one sample of the network's output; None where it is not known.
        summaries: reference -> summary of the values, as far as they were read.
    """
    weights = getattr(job.tasks[name], "sample_weights", None)
    unfit = set()
    for path, reference in references_of(job, name):
        if reference in summaries:
            problem = network_problem(summaries[reference])
            if problem is None and reference == weights:
                problem = weight_problem(summaries[reference])
            if problem is not None and reference not in unfit:
                unfit.add(reference)
                yield path, f"{reference}: {problem}"
    for objective in targets_of_classes(job, name):
        summary, made = summaries.get(objective.target), outputs.get(objective.name)
        if summary is None or objective.target in unfit:
            continue
        problem = _target_problem(job, name, objective, summary, made)
        if problem is not None:
            path = next(path for path, reference in references_of(job, name) if reference == objective.target)
            yield path, f"{objective.target}: {problem}"


def _target_problem(job: Job, name: str, objective: Objective, summary: ValueSummary, made: Shape | None) -> str | None:
    """Returns which value of a target neither the loss nor a metric can use."""
    if _loss(objective) == "sigmoid_bce" and (problem := probability_problem(summary)) is not None:
        return problem
    if not made:
        return None
    if _loss(objective) == "softmax_ce" and made[-1] == 1:
        return "softmax_ce needs one output a class, but the network makes 1; use sigmoid_bce, or 2 outputs"
    if not _classes_wanted(job, name, objective):
        return None
    return label_problem(summary, max(made[-1], 2))

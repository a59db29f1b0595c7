"""Checks the values that a task reads against its network, its losses and its metrics."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from hpcmtl.data.fitness import (
    binary_problem,
    class_problem,
    declared_problem,
    integer_problem,
    known_problem,
    label_problem,
    mask_problem,
    network_problem,
    probability_problem,
    relevance_problem,
    rounding_problem,
    rounding_warning,
    weight_problem,
)
from hpcmtl.errors import InputError
from hpcmtl.frameworks.registry import describe
from hpcmtl.jobfile.kinds import kind_of
from hpcmtl.jobfile.metrics import METRICS_OF_CLASSES, METRICS_OF_LABELS, METRICS_OF_QUERIES, base_of
from hpcmtl.jobfile.references import references_of
from hpcmtl.jobfile.resolve import resolve
from hpcmtl.networks.description import input_values
from hpcmtl.training.kinds.fit import objective_path
from hpcmtl.training.kinds.sampling import SAMPLER

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from hpcmtl.data.value_summary import ValueSummary
    from hpcmtl.jobfile.arrays import KeyedReference
    from hpcmtl.jobfile.findings import Finding
    from hpcmtl.jobfile.schema import Job
    from hpcmtl.networks.input_values import InputValues
    from hpcmtl.networks.objective import Missing, Objective
    from hpcmtl.networks.shapes import Shape

_OF_LABELS = frozenset(METRICS_OF_LABELS)
_OF_CLASSES = frozenset({*METRICS_OF_CLASSES, *METRICS_OF_LABELS})
"""Metrics whose targets are numbers of classes, 0 and 1 where a sample has several labels."""
_CE, _BCE = "softmax_ce", "sigmoid_bce"


def targets_of_classes(job: Job, name: str) -> tuple[Objective, ...]:
    """Returns the objectives of a task whose targets must be numbers of classes, or probabilities."""
    read = {reference for _, reference in references_of(job, name)}
    found = [
        each for view in kind_of(job, name).views(job, name) for each in kind_of(job, name).objectives(view.job, name)
    ]
    return tuple(
        objective
        for objective in found
        if objective.target in read and (_classes_wanted(job, name, objective) or _loss(job, name, objective) == _BCE)
    )


def missing_labels(job: Job, names: Iterable[str]) -> dict[str, set[Missing]]:
    """Returns the numbers that stand for missing labels in some tasks, by the references of their targets."""
    found: dict[str, set[Missing]] = {}
    for name in names:
        for view in kind_of(job, name).views(job, name):
            for each in kind_of(job, name).objectives(view.job, name):
                if each.missing is not None:
                    found.setdefault(each.target, set()).add(each.missing)
    return found


def _loss(job: Job, name: str, objective: Objective) -> str:
    """Returns the name of a loss, also of one that is named by its class; users' classes may have the same names."""
    framework = kind_of(job, name).framework(job, name)
    if ":" not in objective.loss or framework is None:
        return objective.loss
    try:
        found = resolve(objective.loss)
    except InputError:  # reported where the loss is built
        return objective.loss
    place = f"{getattr(found, '__module__', '')}:{getattr(found, '__qualname__', '')}"
    return describe(framework).loss_classes.get(place, objective.loss)


def _classes_wanted(job: Job, name: str, objective: Objective) -> bool:
    return (
        _loss(job, name, objective) == _CE
        or objective.class_weights is not None
        or _asks(job, name, objective, _OF_CLASSES)
    )


def _asks(job: Job, name: str, objective: Objective, metrics: frozenset[str]) -> bool:
    """Returns whether a task is to compute one of some metrics, with or without weights or a cut-off.

    Metrics of queries take relevances, and no numbers of classes.
    """
    asked = kind_of(job, name).metrics(job, name) or objective.metrics
    of_queries = frozenset(METRICS_OF_QUERIES if objective.query is not None else ())
    return any(base_of(metric) in metrics - of_queries for metric in asked)


def value_checks(
    job: Job,
    name: str,
    outputs: Mapping[str, Shape | None],
    summaries: Mapping[str, ValueSummary],
) -> Iterator[Finding]:
    """Yields the keys of the arrays whose values a task with a network cannot use, with the reasons.

    Each source of the task is looked at by itself.

    Args:
        job: a sound job.
        name: name of the task.
        outputs: name of an objective -> shape of one sample of the network's output; None where it is not known.
        summaries: reference -> summary of the values, as far as they were read.
    """
    for view in kind_of(job, name).views(job, name):
        for path, text in _checks_of_source(view.job, name, outputs, summaries):
            yield view.path(path), text


def _checks_of_source(
    job: Job,
    name: str,
    outputs: Mapping[str, Shape | None],
    summaries: Mapping[str, ValueSummary],
) -> Iterator[Finding]:
    """Yields what `value_checks` does, for a task that reads a single source."""
    unfit: dict[str, Finding] = {}
    for path, reference in references_of(job, name):
        if reference in summaries:  # which may stand at several keys
            problem = _network_problem(job, name, (path, reference), summaries[reference])
            if problem is not None and unfit.setdefault(reference, (path, problem)) == (path, problem):
                yield path, f"{reference}: {problem}"
    for objective in targets_of_classes(job, name):
        summary, made = summaries.get(objective.target), outputs.get(objective.name)
        if summary is None or objective.target in unfit:
            continue
        problem = _target_problem(job, name, objective, summary.without(objective.missing), made)
        if problem is not None:
            path = next(path for path, reference in references_of(job, name) if reference == objective.target)
            yield path, f"{objective.target}: {problem}"


def value_warnings(job: Job, name: str, summaries: Mapping[str, ValueSummary]) -> Iterator[str]:
    """Yields which values of a task's input float32 merges while it tells others apart; see `value_checks`."""
    kind = kind_of(job, name)
    read_by = [each for view in kind.views(job, name) for each in kind.network_inputs(view.job, name).items()]
    for each, read in dict.fromkeys(read_by):
        takes_integers = input_values(kind.network(job, name), each).integers
        if read in summaries and not takes_integers and (text := rounding_warning(summaries[read])) is not None:
            yield f"{read}: {text}"


def _network_problem(job: Job, name: str, place: KeyedReference, summary: ValueSummary) -> str | None:
    """Returns why the network, the loss or the weights of a task cannot use an array at one of its keys."""
    (path, reference), kind = place, kind_of(job, name)
    inputs = [each for each, read in kind.network_inputs(job, name).items() if read == reference]
    taken = [input_values(kind.network(job, name), each) for each in inputs]
    mine = [each for each in kind.objectives(job, name) if each.target == reference]
    if path[0] != "input" and mine:
        here = next((each for each in mine if objective_path(each, "target") == path), mine[0])
        if here.missing is None and here.mask is None and (problem := declared_problem(summary)):
            return problem
        summary = summary.without(here.missing)
        if here.missing is not None and (problem := known_problem(summary, one_loss=not here.has_label_losses)):
            return problem
        if here.query is not None and (problem := relevance_problem(summary)):
            return problem
    problem = network_problem(summary, is_target=bool(mine) and not taken)
    if problem is not None:
        return problem
    if path[0] == SAMPLER:
        return weight_problem(summary) if path[-1] == "weights" else class_problem(summary)
    if (problem := _problem_of_integers(taken, summary)) is not None:
        return problem
    is_input = not all(each.integers for each in taken)  # rounding of integers matters where they are targets as well
    is_read = is_input or bool(mine)
    if not is_read and reference in {each.mask for each in kind.objectives(job, name)}:
        return mask_problem(summary)
    # An array may be an input or a target as well: its values are then weights at this key alone.
    if reference == kind.sample_weights(job, name) and (path == ("sample_weights",) or not is_read):
        return weight_problem(summary)  # rounding of weights is harmless
    return rounding_problem(summary, is_target=not is_input) if is_read else None


def _problem_of_integers(taken: Iterable[InputValues], summary: ValueSummary) -> str | None:
    """Returns why inputs of a network that take integers cannot use an array."""
    read = np.dtype(np.float32) if summary.scale != 1.0 else summary.dtype
    problems = (integer_problem(read, summary.extremes, each.below) for each in taken if each.integers)
    return next(filter(None, problems), None)


def _target_problem(job: Job, name: str, objective: Objective, summary: ValueSummary, made: Shape | None) -> str | None:
    """Returns which value of a target neither the loss nor a metric can use."""
    if _loss(job, name, objective) == _BCE and (problem := probability_problem(summary)) is not None:
        return problem
    if math.prod(summary.shape) > 1 and _loss(job, name, objective) != _CE and _asks(job, name, objective, _OF_LABELS):
        return binary_problem(summary)
    if not made:
        return None
    if _loss(job, name, objective) == _CE and made[-1] == 1:
        return "softmax_ce needs one output a class, but the network makes 1; use sigmoid_bce, or 2 outputs"
    if not _classes_wanted(job, name, objective):
        return None
    return label_problem(summary, max(made[-1], 2))

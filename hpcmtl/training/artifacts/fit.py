"""Checks arrays of other tasks, when they are there, as the pass before the run checks those in data files."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

from hpcmtl.communicators.outcome import on_root
from hpcmtl.data.fitness import network_problem
from hpcmtl.data.value_summary import ValueSummary, summarise
from hpcmtl.data.values import summary_of
from hpcmtl.errors import InputError, Problem
from hpcmtl.jobfile.arrays import ArraySpec
from hpcmtl.jobfile.kinds import kind_of
from hpcmtl.networks.description import values_by_input
from hpcmtl.training.kinds.fit import check_weights, objective_path, objective_problems
from hpcmtl.training.kinds.value_checks import missing_labels, targets_of_classes, value_checks, value_warnings
from hpcmtl.training.trial_rows import trial_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from hpcmtl.arrays import Arrays
    from hpcmtl.data.sources import Source
    from hpcmtl.networks.objective import Missing
    from hpcmtl.training.session import SessionContext

    Outputs = Callable[[Arrays], Arrays]

_log = logging.getLogger(__name__)


def require_fit(context: SessionContext, sources: Mapping[str, Source], outputs: Outputs) -> None:
    """Refuses values of other tasks, and targets that do not fit a network whose input they make (collective).

    Args:
        context: context of a task that trains.
        sources: reference -> source; rows in memory are whole.
        outputs: runs the task's network.

    Raises:
        InputError: all problems at once; on all ranks.
    """
    if any(reference.partition("/")[0] not in context.files for reference in sources):
        on_root(context.group, lambda: _require_fit(context, sources, outputs))


def _require_fit(context: SessionContext, sources: Mapping[str, Source], outputs: Outputs) -> None:
    job, task = context.job, context.task
    kind, views = kind_of(job, task), kind_of(job, task).views(job, task)
    wanted = {objective.target for objective in targets_of_classes(job, task)}
    missing = missing_labels(job, [task])
    summaries = {
        reference: _summary(source, missing.get(reference, ()))
        for reference, source in sources.items()
        if reference in wanted or reference.partition("/")[0] not in context.files
    }
    weights = [(view, kind.sample_weights(view.job, task)) for view in views]
    found = [
        (view.path(path), text)
        for view, each in weights
        if each is not None
        for path, text in check_weights(each, _spec(sources[each]))
    ]
    found = found or list(value_checks(job, task, {}, summaries))
    for text in value_warnings(job, task, summaries):
        _log.warning("task %s: %s", task, text)
    if not found:
        read, network = kind.network_inputs(job, task), kind.network(job, task)
        samples = {name: _spec(sources[reference]).shape or () for name, reference in read.items()}
        ones = trial_rows(1, samples, values_by_input(network, read))
        shapes = {name: array.shape[1:] for name, array in outputs(ones).items()}
        for view in views:
            for each in kind.objectives(view.job, task):
                for key, text in objective_problems(each, shapes[each.name], _spec(sources[each.target])):
                    found.append((view.path(objective_path(each, key)), text))
        found = found or list(value_checks(job, task, shapes, summaries))
    if found:
        raise InputError(Problem(".".join(("tasks", task, *path)), text) for path, text in found)


def _spec(source: Source) -> ArraySpec:
    known = source.described().datasets[source.dataset]
    classes = len(known.classes) if known.classes else None
    return ArraySpec(None, known.shape, kind=known.dtype.kind, classes=classes, ragged=known.ragged)


def require_rows_fit(context: SessionContext, references: Mapping[str, Source], spans: Sequence[slice]) -> None:
    """Refuses rows of other tasks that a network cannot take (collective).

    Nothing is said of rounding: a rank that has some of the rows cannot judge the spread of all.

    Args:
        context: context of a task that runs a network.
        references: reference -> source.
        spans: rows of each source that this rank has in memory.

    Raises:
        InputError: the problem of the first rank that has one; on all ranks.
    """
    others = {name: each for name, each in references.items() if name.partition("/")[0] not in context.files}
    missing = missing_labels(context.job, [context.task])
    for reference, source in others.items():
        own = missing.get(reference, set())
        if source.in_memory is None:
            text = on_root(context.group, partial(_network_problem, source, own))
        else:
            rows = [source.in_memory.arrays[source.dataset][span] for span in spans]
            text = next(filter(None, (_problem_without(summarise(each, own), own) for each in rows)), "")
        texts = [each for each in context.group.allgather(text) if each]
        if texts:
            raise InputError([Problem(f"tasks.{context.task}", f"{reference}: {texts[0]}")])


def _network_problem(source: Source, missing: Collection[Missing]) -> str:
    return _problem_without(_summary(source, missing), missing)


def _problem_without(summary: ValueSummary, missing: Collection[Missing]) -> str:
    known = [summary.without(number) for number in missing] or [summary]
    return next(filter(None, map(network_problem, known)), "")


def _summary(source: Source, missing: Collection[Missing]) -> ValueSummary:
    if source.in_memory is not None:
        return summarise(source.in_memory.arrays[source.dataset], missing)
    return summary_of(source.path, source.dataset, missing)

"""Checks arrays of other tasks, when they are there, as the pass before the run checks those in data files."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from hpcmtl.communicators.outcome import on_root
from hpcmtl.data.fitness import network_problem
from hpcmtl.data.values import ValueSummary, summarise, summary_of
from hpcmtl.errors import InputError, Problem
from hpcmtl.jobfile.kinds import kind_of
from hpcmtl.networks.description import objective_shapes
from hpcmtl.training.kinds.value_checks import shaped_targets, value_checks

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from hpcmtl.arrays import Arrays
    from hpcmtl.data.sources import Source
    from hpcmtl.jobfile.schema import Job
    from hpcmtl.networks.models import Shape
    from hpcmtl.training.session import SessionContext

    Outputs = Callable[[np.ndarray], Arrays]  # type: ignore[type-arg]


def output_shapes(job: Job, name: str, sample: Shape, outputs: Callable[[], Outputs]) -> dict[str, Shape | None]:
    """Returns the shape of one sample of each output of a task's network.

    Args:
        job: a sound job.
        name: name of the task.
        sample: shape of one sample of the network's input.
        outputs: returns a function that runs the network; only called where its description does not show the shapes.
    """
    shapes = objective_shapes(kind_of(job, name).network(job, name), sample)
    if None not in shapes.values() or not shaped_targets(job, name):
        return shapes
    made = outputs()(np.zeros((1, *sample), np.float32))
    return {name: array.shape[1:] for name, array in made.items()}


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
    source = sources[kind_of(job, task).network_input(job, task)]
    shapes = output_shapes(job, task, source.described().datasets[source.dataset].shape, lambda: outputs)
    wanted = {objective.target for objective in shaped_targets(job, task)}
    summaries = {
        reference: _summary(source)
        for reference, source in sources.items()
        if reference in wanted or reference.partition("/")[0] not in context.files
    }
    found = list(value_checks(job, task, shapes, summaries))
    if found:
        raise InputError(Problem(".".join(("tasks", task, *path)), text) for path, text in found)


def require_rows_fit(context: SessionContext, references: Mapping[str, Source], spans: Sequence[slice]) -> None:
    """Refuses rows of other tasks that a network cannot take (collective).

    Args:
        context: context of a task that runs a network.
        references: reference -> source.
        spans: rows of each source that this rank has in memory.

    Raises:
        InputError: the problem of the first rank that has one; on all ranks.
    """
    others = {name: each for name, each in references.items() if name.partition("/")[0] not in context.files}
    for reference, source in others.items():
        if source.in_memory is None:
            text = on_root(context.group, partial(_network_problem, source))
        else:
            rows = [source.in_memory.arrays[source.dataset][span] for span in spans]
            text = next(filter(None, (network_problem(summarise(each)) for each in rows)), "")
        texts = [each for each in context.group.allgather(text) if each]
        if texts:
            raise InputError([Problem(f"tasks.{context.task}", f"{reference}: {texts[0]}")])


def _network_problem(source: Source) -> str:
    return network_problem(_summary(source)) or ""


def _summary(source: Source) -> ValueSummary:
    if source.in_memory is not None:
        return summarise(source.in_memory.arrays[source.dataset])
    return summary_of(source.path, source.dataset)

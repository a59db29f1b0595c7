"""Reads the train labels and samplers of the tasks of a job as their sessions will, before the job runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hpcmtl.data.labels import read_labels
from hpcmtl.data.lengths import read_lengths
from hpcmtl.data.padding import make_padding
from hpcmtl.data.sources import Source, selected
from hpcmtl.errors import InputError
from hpcmtl.jobfile.kinds import kind_of
from hpcmtl.training.kinds.fit import objective_path
from hpcmtl.training.kinds.sampling import SAMPLER, sampled_objective, sampler_reference
from hpcmtl.training.sessions.train_sampler import read_sampler

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from hpcmtl.arrays import Ints
    from hpcmtl.data.value_summary import ValueSummary
    from hpcmtl.jobfile.findings import Finding
    from hpcmtl.networks.objective import Objective
    from hpcmtl.pipeline.prepare import Prepared
    from hpcmtl.training.kinds.sampler_schema import SamplerKeys

_OF_LABELS = ("target", "missing", "mask", "class_weights")
"""Keys of an objective at which its labels may be refused already; the first is the place of new problems."""


def label_findings(
    prepared: Prepared,
    tasks: Collection[str],
    summaries: Mapping[tuple[Path, str], ValueSummary],
    said: Collection[Finding],
) -> Iterator[Finding]:
    """Yields train labels of which none is known or has a weight, and samplers that cannot choose.

    Labels of other tasks are read when they are there, and those of several sources together when they are joined.

    Args:
        prepared: the job.
        tasks: names of the tasks.
        summaries: (file, dataset) -> summary of its values, for those without problems.
        said: problems that are known; one at the same place is not said again.
    """
    read, known = _Reader(prepared, summaries), {path for path, _ in said}
    for name in tasks:
        if len(kind_of(prepared.job, name).views(prepared.job, name)) > 1:
            continue
        for path, text in _samplers(prepared, name, read):
            if ("tasks", name, *path) not in known:
                yield ("tasks", name, *path), text
        for each in _weighted_objectives(prepared, name):
            paths = [("tasks", name, *objective_path(each, key)) for key in _OF_LABELS]
            if known.isdisjoint(paths):
                yield from ((paths[0], text) for text in _label_problems(each, read))


class _Reader:
    """Gives the sources of arrays in data files."""

    def __init__(self, prepared: Prepared, summaries: Mapping[tuple[Path, str], ValueSummary]) -> None:
        self._files, self._summaries = prepared.files, summaries

    def source(self, key: str, reference: str | None) -> Source | None:
        """Returns the source of an array; None if it is not there yet, or has problems."""
        origin, _, dataset = (reference or "").partition("/")
        file = self._files.get(origin, Path())
        if (file, dataset) not in self._summaries:
            return None
        lengths = read_lengths(file, dataset)
        return Source(key, file, dataset, padding=None if lengths is None else make_padding(lengths, ()))

    def train(self, source: Source) -> Ints | None:
        """Returns the numbers of the train samples; None without one, which is said elsewhere."""
        try:
            return selected([source], ["train"])
        except InputError:
            return None


def _weighted_objectives(prepared: Prepared, name: str) -> list[Objective]:
    """Returns the objectives that a task trains, and whose labels do not all count alike."""
    kind = kind_of(prepared.job, name)
    trained = kind.objectives(prepared.job, name) if kind.facts.has_parameters else ()
    return [each for each in trained if each.is_partly_labelled or each.class_weights is not None]


def _label_problems(objective: Objective, read: _Reader) -> list[str]:
    """Returns what a session would refuse when it reads the train labels of an objective."""
    target, mask = read.source("target", objective.target), read.source("mask", objective.mask)
    if target is None or (mask is None) != (objective.mask is None) or (numbers := read.train(target)) is None:
        return []
    try:
        read_labels(target, mask, objective.missing, objective.class_weights, numbers)
    except InputError as error:
        return [f"{problem.where}: {problem.message}" for problem in error.problems]
    return []


def _samplers(prepared: Prepared, name: str, read: _Reader) -> Iterator[Finding]:
    job = prepared.job
    keys: SamplerKeys | None = getattr(job.tasks[name], SAMPLER, None)
    if keys is None:
        return
    objective = sampled_objective(keys, kind_of(job, name).objectives(job, name))
    path, reference = sampler_reference(keys) or ((SAMPLER,), None)
    masked, missing = (None, None) if objective is None else (objective.mask, objective.missing)
    source, mask = read.source("by", reference if objective is None else objective.target), read.source("mask", masked)
    if source is None or (mask is None) != (masked is None) or (numbers := read.train(source)) is None:
        return
    try:
        read_sampler(keys, source, mask, missing, numbers, seed=job.seed)
    except InputError as error:
        yield from ((path, f"{problem.where}: {problem.message}") for problem in error.problems)

"""Compares what the numbers of several sources of a task mean, before the job runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcmtl.data.meanings import NAMED, meanings
from hpcmtl.jobfile.kinds import kind_of
from hpcmtl.training.kinds.fit import objective_path
from hpcmtl.training.kinds.input_arrays import input_path

if TYPE_CHECKING:
    from collections.abc import Collection, Container, Iterator
    from pathlib import Path

    from hpcmtl.jobfile.arrays import KeyedReference
    from hpcmtl.jobfile.findings import Finding
    from hpcmtl.jobfile.views import JobView
    from hpcmtl.pipeline.prepare import Prepared

_Key = tuple[str, ...]


def source_findings(
    prepared: Prepared, tasks: Collection[str], intact: Container[tuple[Path, str]]
) -> Iterator[Finding]:
    """Yields arrays whose classes or columns are others in one source than in another one of the same task.

    Args:
        prepared: the job.
        tasks: names of the tasks.
        intact: (file, dataset) of the arrays that can be read.
    """
    for name in tasks:
        first: dict[_Key, tuple[str, dict[str, tuple[str, ...]]]] = {}
        views = kind_of(prepared.job, name).views(prepared.job, name)
        for view in views if len(views) > 1 else ():
            for key, reference in _arrays(view, name):
                origin, dataset = reference.split("/", 1)
                file = prepared.files.get(origin)
                if file is None or (file, dataset) not in intact:
                    continue
                found = meanings(file, dataset)
                other, known = first.setdefault(key, (reference, found))
                if text := _difference(found, known):
                    yield ("tasks", name, *view.path(key)), f"{reference} {text} of {other}; {_REMEDY}"


_REMEDY = "seal one of them again: the sources of a task share one network, for which equal numbers mean the same"


def _arrays(view: JobView, name: str) -> Iterator[KeyedReference]:
    """Yields the inputs and targets that a task reads in one view of its job."""
    kind = kind_of(view.job, name)
    yield from ((input_path(each), read) for each, read in kind.network_inputs(view.job, name).items())
    yield from ((objective_path(each, "target"), each.target) for each in kind.objectives(view.job, name))


def _difference(found: dict[str, tuple[str, ...]], known: dict[str, tuple[str, ...]]) -> str:
    """Says which number has another meaning; of classes, one array may have more than the other."""
    for kind, single in NAMED.items():
        pairs = zip(found.get(kind, ()), known.get(kind, ()), strict=False)
        for number, (one, two) in enumerate(pairs):
            if one != two:
                return f"has {one!r} as {single} {number}, but {two!r} is {single} {number}"
    return ""

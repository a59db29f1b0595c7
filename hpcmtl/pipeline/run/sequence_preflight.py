"""Compares the lengths of sequences with those of their labels, before a job runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcmtl.data.lengths import read_lengths
from hpcmtl.jobfile.kinds import kind_of
from hpcmtl.training.kinds.fit import objective_path
from hpcmtl.training.sequence_padding import lengths_problem

if TYPE_CHECKING:
    from collections.abc import Collection, Container, Iterator
    from pathlib import Path

    from hpcmtl.arrays import Ints
    from hpcmtl.jobfile.findings import Finding
    from hpcmtl.pipeline.prepare import Prepared


def sequence_findings(
    prepared: Prepared, tasks: Collection[str], intact: Container[tuple[Path, str]]
) -> Iterator[Finding]:
    """Yields labels and masks whose samples have other lengths than those of the input.

    Args:
        prepared: the job.
        tasks: names of the tasks.
        intact: (file, dataset) of the arrays that can be read.
    """

    def lengths(reference: str) -> Ints | None:
        origin, dataset = reference.split("/", 1)
        file = prepared.files.get(origin)
        return None if file is None or (file, dataset) not in intact else read_lengths(file, dataset)

    for name in (each for each in tasks if each not in prepared.partly):
        kind = kind_of(prepared.job, name)
        objectives = kind.objectives(prepared.job, name) if kind.facts.has_learning_rate else ()
        if not any(each.per_token for each in objectives):
            continue
        read = {each: lengths(each) for each in kind.network_inputs(prepared.job, name).values()}
        given = {reference: each for reference, each in read.items() if each is not None}
        if not given:
            continue
        for each in (each for each in objectives if each.per_token):
            for key, reference in (("target", each.target), ("mask", each.mask)):
                own = None if reference is None else lengths(reference)
                problem = None if own is None else lengths_problem(own, given)
                if problem is not None:
                    yield ("tasks", name, *objective_path(each, key)), f"{reference}: {problem}"

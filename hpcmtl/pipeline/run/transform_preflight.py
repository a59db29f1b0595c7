"""Tries the transforms of the tasks of a job on real samples, before the job runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hpcmtl.data.sources import Source
from hpcmtl.data.transforming.channel_moments import channel_moments, completed
from hpcmtl.data.transforming.transforms import TransformChain
from hpcmtl.errors import InputError
from hpcmtl.jobfile.kinds import kind_of
from hpcmtl.jobfile.transforms import of_single_samples, shape_problems
from hpcmtl.training.input_transforms import first_rows, require_transforms
from hpcmtl.training.kinds.input_arrays import transform_path

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from hpcmtl.data.value_summary import ValueSummary
    from hpcmtl.jobfile.findings import Finding
    from hpcmtl.jobfile.transforms import Transform
    from hpcmtl.pipeline.prepare import Prepared


def transform_findings(
    prepared: Prepared, tasks: Collection[str], summaries: Mapping[tuple[Path, str], ValueSummary]
) -> Iterator[Finding]:
    """Yields transforms that fail on the first train samples; those of other tasks are tried when they are there.

    Args:
        prepared: the job.
        tasks: names of the tasks.
        summaries: (file, dataset) -> summary of its values, for those without problems.
    """
    job = prepared.job
    for name in tasks:
        kind = kind_of(job, name)
        inputs = kind.transforms(job, name) if kind.facts.has_parameters else {}
        read = [(view, each, given) for view in kind.views(job, name) for each, given in inputs.items()]
        for view, each, given in read:
            transforms = of_single_samples(given)
            reference = kind.network_inputs(view.job, name)[each]
            origin, dataset = reference.split("/", 1)
            file = prepared.files.get(origin, Path())
            shape = prepared.arrays[reference].shape if reference in prepared.arrays else None
            if (file, dataset) not in summaries or shape is None or any(shape_problems(transforms, shape)):
                continue  # said elsewhere
            try:
                _try(transforms, Source("", file, dataset))
            except InputError as error:
                path = ("tasks", name, *transform_path(each))
                yield from ((path, f"{problem.where}: {problem.message}") for problem in error.problems)


def _try(transforms: tuple[Transform, ...], source: Source) -> None:
    """Tries transforms, where mean and deviation of a few samples stand for those of all.

    Raises:
        InputError: one fails, or returns what a network does not take.
    """
    rows, numbers = first_rows(source)
    found = completed(transforms, 0, lambda chain: channel_moments(chain.changed(rows, numbers, None)))
    require_transforms(TransformChain(found, 0), rows, numbers)

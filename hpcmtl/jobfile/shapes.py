"""Checks of shapes and sample counts along the edges of a job: inputs, networks and targets must fit.

Works on descriptions alone, without HDF5 and without a framework; `data.hdf5.describe` describes files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcmtl.jobfile.kinds import kind_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hpcmtl.jobfile.arrays import ArraySpec
    from hpcmtl.jobfile.findings import Finding
    from hpcmtl.jobfile.schema import Job


def arrays_of(
    job: Job, files: Mapping[str, ArraySpec], order: tuple[str, ...]
) -> tuple[dict[str, ArraySpec], list[Finding]]:
    """Describes every array of a job and finds those that do not fit.

    Args:
        job: a job that `check_job` found sound.
        files: ``data name/dataset`` -> its description, for every dataset of every readable file.
        order: the tasks, producers first.

    Returns:
        Every array by reference, those that tasks publish included, and the findings.
    """
    arrays = dict(files)
    found: list[Finding] = []
    for name in order:
        new = list(_check_task(job, name, arrays))
        found += new
        if not new:
            published = kind_of(job, name).published_arrays(job, name, arrays)
            arrays.update({f"{name}/{array}": spec for array, spec in published.items()})
    return arrays, found


def _check_task(job: Job, name: str, arrays: Mapping[str, ArraySpec]) -> Iterator[Finding]:
    kind, here = kind_of(job, name), ("tasks", name)
    for view in kind.views(job, name):
        counts = {
            reference: arrays[reference].samples
            for _, reference in kind.references(view.job, name)
            if reference in arrays and arrays[reference].samples is not None
        }
        if len(set(counts.values())) > 1:
            listed = ", ".join(f"{_with_file(job, each)} has {samples} samples" for each, samples in counts.items())
            yield (*here, *view.here), f"arrays of different length: {listed}"
    for path, message in kind.shape_checks(job, name, arrays):
        yield (*here, *path), message


def _with_file(job: Job, reference: str) -> str:
    """Returns a reference with the file that has the array, if no task makes it."""
    file = job.data.get(reference.split("/", 1)[0])
    return reference if file is None else f"{reference} ({file})"

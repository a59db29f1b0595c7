"""Everything that can be said of a job without running it; needs neither MPI nor MXNet."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hpcmtl.data.hdf5 import describe
from hpcmtl.errors import InputError
from hpcmtl.jobfile.load import line_numbers, load_job, locate, parse_job
from hpcmtl.jobfile.shapes import Array, arrays_of
from hpcmtl.layerplan.policies import make_plan
from hpcmtl.taskgraph.graph import build_graph, topological_order

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hpcmtl.errors import Problem
    from hpcmtl.jobfile.schema import Job
    from hpcmtl.layerplan.plan import LayerPlan
    from hpcmtl.taskgraph.graph import TaskGraph


@dataclass(frozen=True)
class Prepared:
    """A job that was found sound, and all that is known of it before it runs.

    Attributes:
        job: the job, defaults filled in.
        files: data name -> HDF5 file.
        arrays: every array by reference, those that tasks publish included.
        graph: tasks and edges, with layers.
    """

    job: Job
    files: Mapping[str, Path]
    arrays: Mapping[str, Array]
    graph: TaskGraph


def prepare(source: Path | Job, ranks: int | None = None, policy: str | None = None) -> Prepared:
    """Load and check a job as far as possible without running it.

    Args:
        source: a job file, or a job made in code (data files are then relative to the working directory).
        ranks: instead of the job's `ranks`.
        policy: instead of the job's `policy`.

    Raises:
        InputError: everything that is wrong, at once.
    """
    changes = {key: value for key, value in {"ranks": ranks, "policy": policy}.items() if value is not None}
    if isinstance(source, Path):
        where, base, lines = str(source), source.parent, line_numbers(source)
        job = load_job(source, changes)
    else:
        where, base, lines = "job", Path(), {}
        job = parse_job({**source.model_dump(by_alias=True), **changes})
    files = {name: (base / path).resolve() for name, path in job.data.items()}
    described, problems = _describe(files)
    order = topological_order({name: task.needs for name, task in job.tasks.items()})
    arrays, found = arrays_of(job, described, order)
    problems += locate(found, where, lines)
    if problems:
        raise InputError(problems)
    return Prepared(job, files, arrays, build_graph(job, arrays))


def plan(prepared: Prepared) -> LayerPlan:
    """Plan a prepared job.

    Raises:
        InputError: for an unknown policy, or tasks that need more ranks than there are.
    """
    return make_plan(prepared.graph, prepared.job.ranks, prepared.job.policy)


def _describe(files: Mapping[str, Path]) -> tuple[dict[str, Array], list[Problem]]:
    """Describe every dataset of every data file, by reference."""
    arrays: dict[str, Array] = {}
    problems: list[Problem] = []
    for name, path in files.items():
        try:
            description = describe(path)
        except InputError as error:
            problems += error.problems
            continue
        split = (description.split_sizes["train"], description.split_sizes["val"], description.split_sizes["test"])
        for dataset in description.datasets.values():
            scalars = max(description.samples, 1)
            for extent in dataset.shape:
                scalars *= extent
            arrays[f"{name}/{dataset.name}"] = Array(
                samples=description.samples,
                shape=dataset.shape,
                kind=dataset.dtype.kind,
                classes=len(dataset.classes) if dataset.classes else None,
                itemsize=dataset.bytes // scalars,
                split=split,
            )
    return arrays, problems

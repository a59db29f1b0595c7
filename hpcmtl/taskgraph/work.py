"""What a task has to do, from the job file and the descriptions of the arrays that it reads."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from hpcmtl.jobfile.arrays import ArraySpec
from hpcmtl.jobfile.network import applied_to, network_of, published_arrays
from hpcmtl.jobfile.references import references_of
from hpcmtl.jobfile.schema import SPLITS, Applied, Evaluate, Extract, Joint, Python, Train, Trained
from hpcmtl.jobfile.work import Work
from hpcmtl.networks.description import Part, parts_of, size_of
from hpcmtl.networks.models import NetworkSize

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hpcmtl.jobfile.schema import Job

# What is assumed of an array that only running its task describes, when the job has no described array to go by.
# Meant to be too much rather than too little: a task that is thought too small is starved of ranks.
GUESSED_SAMPLES = 10_000
GUESSED_SAMPLE_BYTES = 4096
APPLIED_BATCH = 256  # rows of a step of a task that applies a network and does not say


def work_of(job: Job, name: str, arrays: Mapping[str, ArraySpec]) -> Work:
    """Predict the size of one task.

    A training task reads the train rows of its input, targets and sample weights in each epoch; `evaluate` reads its
    split, the other kinds read all rows. An array that is not described counts as the largest described one (rows and
    bytes of a row each by itself), or as the guesses of this module if there is none.

    Args:
        job: a checked job with its defaults filled in.
        name: the task.
        arrays: ``source/array`` -> its description, as `jobfile.shapes.arrays_of` returns them.
    """
    task = job.tasks[name]
    read = [arrays.get(reference, ArraySpec(None, None)) for reference in sorted(_inputs(job, name))]
    rows = max((_rows(array, _split(job, name), arrays) for array in read), default=1)
    sample_bytes = sum(_sample_bytes(array, arrays) for array in read)
    if isinstance(task, Python):
        return Work(rows, 1, max(rows, 1), sample_bytes, 0, trains=False)
    batch_size = task.batch_size or (job.defaults.batch_size if isinstance(task, Trained) else APPLIED_BATCH)
    passes = task.epochs if isinstance(task, Trained) else 1
    size = _size(job, name, arrays)
    trains = isinstance(task, Trained)
    return Work(rows, passes, batch_size, sample_bytes, size.parameters, trains, size.multiplications)


def _inputs(job: Job, name: str) -> set[str]:
    task = job.tasks[name]
    if not isinstance(task, Python):
        return {reference for _, reference in references_of(job, name)}
    producers = [producer for producer, need in task.needs.items() if need.kind in {"data", "compute"}]
    return {f"{p}/{array}" for p in producers for array in published_arrays(job, job.tasks[p])}


def _split(job: Job, name: str) -> str | None:
    task = job.tasks[name]
    if isinstance(task, Trained):
        return "train"
    return task.split if isinstance(task, Evaluate) else None


def _rows(array: ArraySpec, split: str | None, arrays: Mapping[str, ArraySpec]) -> int:
    if array.split is not None and split is not None:
        return array.split[SPLITS.index(split)]
    if array.samples is not None:
        return array.samples
    return max((known.samples for known in arrays.values() if known.samples is not None), default=GUESSED_SAMPLES)


def _sample_bytes(array: ArraySpec, arrays: Mapping[str, ArraySpec]) -> int:
    if array.shape is not None:
        return math.prod(array.shape) * array.itemsize
    known = (math.prod(other.shape) * other.itemsize for other in arrays.values() if other.shape is not None)
    return max(known, default=GUESSED_SAMPLE_BYTES)


def _size(job: Job, name: str, arrays: Mapping[str, ArraySpec]) -> NetworkSize:
    task = job.tasks[name]
    source = applied_to(job, task) if isinstance(task, Applied) else task
    assert isinstance(source, Train | Joint), "python tasks have no network"
    array = arrays.get((task.input if isinstance(task, Applied) else None) or source.input)
    network = network_of(job, source)
    if isinstance(task, Extract) and task.output in (parts_of(network) or ()):
        network = Part(network, task.output)
    return size_of(network, array.shape) if array and array.shape is not None else NetworkSize(0, 0)

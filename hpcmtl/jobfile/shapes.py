"""Shapes and sample counts along the edges: what each task reads, makes and is trained to make must fit.

Works on descriptions alone, without HDF5 and without a framework; `data.hdf5.describe` supplies those of files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcmtl.jobfile.arrays import ArraySpec
from hpcmtl.jobfile.network import applied_to, network_of, objectives_of, published_arrays
from hpcmtl.jobfile.references import references_of
from hpcmtl.jobfile.schema import Applied, Extract, Joint, Predict, Train, Trained
from hpcmtl.networks.description import Part, objective_shapes, output_shape
from hpcmtl.networks.models import ShapeError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hpcmtl.jobfile.findings import Finding
    from hpcmtl.jobfile.schema import Job
    from hpcmtl.networks.description import NetworkDescription
    from hpcmtl.networks.models import Shape
    from hpcmtl.networks.objective import Objective


def arrays_of(
    job: Job, files: Mapping[str, ArraySpec], order: tuple[str, ...]
) -> tuple[dict[str, ArraySpec], list[Finding]]:
    """Describe every array of the job and say what does not fit.

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
            arrays.update(_published(job, name, arrays))
    return arrays, found


def _check_task(job: Job, name: str, arrays: Mapping[str, ArraySpec]) -> Iterator[Finding]:
    task = job.tasks[name]
    here = ("tasks", name)
    read: dict[str, ArraySpec] = {}
    for _, reference in references_of(job, name):
        if reference in arrays:
            read[reference] = arrays[reference]
    counts = {ref: array.samples for ref, array in read.items() if array.samples is not None}
    if len(set(counts.values())) > 1:
        yield (
            here,
            "arrays of different length: " + ", ".join(f"{ref} has {n} samples" for ref, n in counts.items()),
        )
    if isinstance(task, Train | Joint):
        yield from _check_network(here, network_of(job, task), objectives_of(job, task), (task.input, arrays))
        if isinstance(task, Trained) and (array := arrays.get(task.input)) and array.split and array.split[0] == 0:
            yield (*here, "input"), f"{task.input} has no samples in the train split"
    elif isinstance(task, Applied):
        source_task = applied_to(job, task)
        reference = task.input or source_task.input
        # Its objectives were checked where they are trained.
        yield from _check_network(here, network_of(job, source_task), (), (reference, arrays))


def _check_network(
    here: tuple[str, ...],
    network: NetworkDescription,
    objectives: tuple[Objective, ...],
    data: tuple[str, Mapping[str, ArraySpec]],
) -> Iterator[Finding]:
    reference, arrays = data
    array = arrays.get(reference)
    if array is None or array.shape is None:
        return
    try:
        shapes = objective_shapes(network, array.shape)
    except ShapeError as error:
        yield (*here, "input"), f"{reference}: {error}"
        return
    for objective in objectives:
        target, made = arrays.get(objective.target), shapes.get(objective.name)
        if target is None or target.shape is None or made is None:
            continue
        problem = _fits(objective, made, target)
        if problem:
            place = ("heads", objective.name, "target") if len(shapes) > 1 else ("target",)
            yield (*here, *place), problem


def _fits(objective: Objective, made: Shape, target: ArraySpec) -> str | None:
    """Say how an output of shape `made` does not fit its target, or None."""
    name, shape = objective.target, target.shape
    if objective.loss == "softmax_ce":
        if shape != () or target.kind not in "iu":
            return (
                f"softmax_ce needs one whole number a sample; {name} has samples of shape {shape}, kind {target.kind!r}"
            )
        if len(made) != 1:
            return f"softmax_ce needs one score a class, but the network makes samples of shape {made}"
        if target.classes is not None and made[0] < target.classes:
            return f"{name} has {target.classes} classes but the network makes {made[0]} outputs; it needs one a class"
        return None
    scalar = made == (1,) and shape == ()
    if objective.loss in {"l2", "l1", "huber", "sigmoid_bce"} and made != shape and not scalar:
        return f"the network makes samples of shape {made}, but {name} has samples of shape {shape}"
    return None


def _published(job: Job, name: str, arrays: Mapping[str, ArraySpec]) -> Iterator[tuple[str, ArraySpec]]:
    task = job.tasks[name]
    if isinstance(task, Extract | Predict):
        source = applied_to(job, task)
        network = network_of(job, source)
        read = arrays.get(task.input or source.input, ArraySpec(None, None))
        made: dict[str, Shape | None] = dict.fromkeys(published_arrays(job, task))
        if read.shape is not None and isinstance(task, Extract):
            made = {"values": output_shape(Part(network, task.output), read.shape)}
        elif read.shape is not None:
            made = dict(objective_shapes(network, read.shape))
        for array, shape in made.items():
            yield f"{name}/{array}", ArraySpec(read.samples, shape, split=read.split)
    else:
        for array in published_arrays(job, task):
            yield f"{name}/{array}", ArraySpec(None, None)

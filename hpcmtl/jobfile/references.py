"""References ``source/dataset``: which arrays each task reads, and whether these can be there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcmtl.errors import nearest
from hpcmtl.jobfile.network import applied_to, objectives_of, published_arrays
from hpcmtl.jobfile.schema import Applied, Evaluate, Joint, Train, Trained

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from hpcmtl.jobfile.arrays import ArraySpec
    from hpcmtl.jobfile.findings import Finding
    from hpcmtl.jobfile.schema import Job, Task


def references_of(job: Job, name: str) -> Iterator[Finding]:
    """Every array that a task of a sound job reads, as (key path inside the task, reference); inherited ones too."""
    task = job.tasks[name]
    if isinstance(task, Joint):
        yield from (entry for entry in _own_references(task) if entry[0][0] != "heads")
        for objective in objectives_of(job, task):
            yield ("heads", objective.name, "target"), objective.target
    elif isinstance(task, Applied):
        source = applied_to(job, task)
        yield ("input",), task.input or source.input
        if isinstance(task, Evaluate):
            for objective in objectives_of(job, source):
                yield ("needs",), objective.target
    else:
        yield from _own_references(task)


def check_sources(job: Job, unread: Collection[str]) -> Iterator[Finding]:
    """References that a task makes itself, to sources that are not there; needs nothing of other tasks."""
    for name, task in job.tasks.items():
        for path, reference in _own_references(task):
            source = reference.split("/", 1)[0]
            if source not in unread:
                yield from ((("tasks", name, *path), text) for text in _source_problems(job, task, reference))


def check_datasets(job: Job, files: Mapping[str, ArraySpec]) -> Iterator[Finding]:
    """References that a task makes itself, to datasets that a readable file does not have."""
    for name, task in job.tasks.items():
        for path, reference in _own_references(task):
            source, wanted = reference.split("/", 1)
            names = [key.split("/", 1)[1] for key in files if key.startswith(f"{source}/")]
            if source in job.data and names and wanted not in names:
                text = f"{job.data[source]} has no dataset {wanted!r}{nearest(wanted, names)}"
                yield ("tasks", name, *path), text


def check_arrays(job: Job) -> Iterator[Finding]:
    """Arrays that tasks do not publish, and inherited references whose edge is missing; for tasks sound otherwise."""
    for name, task in job.tasks.items():
        own = {reference for _, reference in _own_references(task)}
        for path, reference in references_of(job, name):
            source, array = reference.split("/", 1)
            problems = [] if reference in own else list(_source_problems(job, task, reference))
            if source in job.tasks and not problems:
                arrays = published_arrays(job, job.tasks[source])
                if array not in arrays:
                    problems = [f"task {source!r} publishes no array {array!r}{nearest(array, arrays)}"]
            yield from ((("tasks", name, *path), problem) for problem in problems)


def _own_references(task: Task) -> Iterator[Finding]:
    if isinstance(task, Trained):
        yield ("input",), task.input
        if task.sample_weights:
            yield ("sample_weights",), task.sample_weights
    if isinstance(task, Train):
        yield ("target",), task.target
    if isinstance(task, Joint):
        for name, head in task.heads.items():
            if head.target:
                yield ("heads", name, "target"), head.target
    if isinstance(task, Applied) and task.input:
        yield ("input",), task.input


def _source_problems(job: Job, task: Task, reference: str) -> Iterator[str]:
    source = reference.split("/", 1)[0]
    if source in job.data:
        return
    if source not in job.tasks:
        yield f"{reference!r}: {source!r} is neither under `data` nor a task{nearest(source, [*job.data, *job.tasks])}"
    elif source not in task.needs or task.needs[source].kind not in {"data", "compute"}:
        yield f"{reference!r} is made by task {source!r}: add it to `needs` as `{source}: data`"

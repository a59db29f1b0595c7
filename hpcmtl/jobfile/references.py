"""References ``source/dataset``: checks that the arrays which tasks read exist, or will exist."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcmtl.errors import nearest
from hpcmtl.jobfile.kinds import kind_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from hpcmtl.jobfile.arrays import ArraySpec, KeyedReference
    from hpcmtl.jobfile.fields import EdgeKind
    from hpcmtl.jobfile.findings import Finding
    from hpcmtl.jobfile.schema import Job


def references_of(job: Job, name: str) -> Iterator[KeyedReference]:
    """Yields every array that a task of a sound job reads, with its key path inside the task; inherited ones too."""
    yield from kind_of(job, name).references(job, name)


def check_sources(job: Job, unread: Collection[str]) -> Iterator[Finding]:
    """Yields the references of tasks to sources that do not exist; looks at no other task."""
    for name in job.tasks:
        for path, reference in kind_of(job, name).own_references(job, name):
            source = reference.split("/", 1)[0]
            if source not in unread:
                yield from ((("tasks", name, *path), text) for text in _source_problems(job, name, reference))


def check_datasets(job: Job, files: Mapping[str, ArraySpec]) -> Iterator[Finding]:
    """Yields the references of tasks to datasets that a readable file does not have."""
    for name in job.tasks:
        for path, reference in kind_of(job, name).own_references(job, name):
            source, wanted = reference.split("/", 1)
            names = [key.split("/", 1)[1] for key in files if key.startswith(f"{source}/")]
            if source in job.data and names and wanted not in names:
                text = f"{job.data[source]} has no dataset {wanted!r}{nearest(wanted, names)}"
                yield ("tasks", name, *path), text


def check_arrays(job: Job) -> Iterator[Finding]:
    """Yields arrays that tasks do not publish, and inherited references without an edge, of tasks sound otherwise."""
    for name in job.tasks:
        own = {reference for _, reference in kind_of(job, name).own_references(job, name)}
        for path, reference in references_of(job, name):
            source, array = reference.split("/", 1)
            problems = [] if reference in own else list(_source_problems(job, name, reference))
            if source in job.tasks and not problems:
                arrays = kind_of(job, source).published_arrays(job, source, {})
                if array not in arrays:
                    problems = [f"task {source!r} publishes no array {array!r}{nearest(array, arrays)}"]
            yield from ((("tasks", name, *path), problem) for problem in problems)


def to_add(job: Job, producer: str, kind: EdgeKind, given: Iterable[str]) -> str:
    """Returns the end of a message about a task that is not among `needs`: what to add, or what may be meant."""
    if producer in job.tasks:
        return f": add `{producer}: {kind}` there"
    meant = nearest(producer, given)
    return meant if "did you mean" in meant else nearest(producer, job.tasks)


def _source_problems(job: Job, name: str, reference: str) -> Iterator[str]:
    source, needs = reference.split("/", 1)[0], job.tasks[name].needs
    if source in job.data:
        return
    if source not in job.tasks:
        yield f"{reference!r}: {source!r} is neither under `data` nor a task{nearest(source, [*job.data, *job.tasks])}"
    elif source not in needs or needs[source].kind not in {"data", "compute"}:
        yield f"{reference!r} is made by task {source!r}: add it to `needs` as `{source}: data`"

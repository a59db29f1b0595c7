"""Frameworks of a job: the framework of each task, and checks of the edges and merges between frameworks.

Asks the descriptions of frameworks, which import none of them: see `hpcmtl.frameworks`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcmtl.frameworks.registry import UnknownFrameworkError, describe
from hpcmtl.jobfile.kinds import kind_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hpcmtl.jobfile.findings import Finding
    from hpcmtl.jobfile.schema import Job


def framework_of(job: Job, name: str) -> str | None:
    """Returns the name of the framework that a task of a sound job needs, or None for a task without a network."""
    return kind_of(job, name).framework(job, name)


def tasks_by_framework(job: Job) -> dict[str, tuple[str, ...]]:
    """Returns the names of the tasks of each framework that a sound job needs, in the order of the job."""
    found: dict[str, tuple[str, ...]] = {}
    for name in job.tasks:
        framework = framework_of(job, name)
        if framework is not None:
            found[framework] = (*found.get(framework, ()), name)
    return found


def check_frameworks(job: Job) -> Iterator[Finding]:
    """Yields the unknown frameworks of a job, and edges and merges between tasks of different frameworks."""
    default = _unknown(job.defaults.framework)
    if default is not None:
        yield ("defaults", "framework"), default
    trained = {name: framework_of(job, name) for name in job.tasks if kind_of(job, name).facts.has_parameters}
    for name, framework in trained.items():
        if framework is None:
            continue
        unknown = _unknown(framework)
        if unknown is None:
            yield from _foreign_parameters(job, name, trained)
        elif framework != job.defaults.framework:
            yield ("tasks", name, "framework"), unknown
    for key, merge in job.merge.items():
        members = {name: trained[name] for name in merge.tasks if name in trained}
        if len(set(members.values())) > 1:
            found = ", ".join(f"{name} ({framework})" for name, framework in members.items())
            yield ("merge", key, "tasks"), f"members of a merge have one framework; found {found}"


def _unknown(framework: str) -> str | None:
    try:
        describe(framework)
    except UnknownFrameworkError as error:
        return str(error)
    return None


def _foreign_parameters(job: Job, name: str, trained: dict[str, str | None]) -> Iterator[Finding]:
    """Yields the edges by which a task would take parameters of another framework."""
    for producer, need in job.tasks[name].needs.items():
        if need.kind == "parameters" and trained.get(producer, trained[name]) != trained[name]:
            text = f"{producer} has framework {trained[producer]}, {name} has {trained[name]}"
            message = f"{text}: parameters have the names and layouts of their framework; only arrays can be handed on"
            yield ("tasks", name, "needs", producer), message

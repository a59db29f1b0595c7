"""Frameworks of a job: the framework of each task, and checks of the edges and merges between frameworks.

Asks the descriptions of frameworks, which import none of them: see `hpcmtl.frameworks`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcmtl.frameworks.registry import UnknownFrameworkError, describe
from hpcmtl.jobfile.kinds import kind_of
from hpcmtl.networks.json_form import user_models

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
    """Yields the unknown frameworks of a job, and merges of tasks of different frameworks."""
    default = _unknown(job.defaults.framework)
    if default is not None:
        yield ("defaults", "framework"), default
    trained = {name: framework_of(job, name) for name in job.tasks if kind_of(job, name).facts.has_parameters}
    for name, framework in trained.items():
        if framework is None:
            continue
        unknown = _unknown(framework)
        if unknown is not None:  # the tasks that take it from `defaults` are left out of further checks as well
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


def check_foreign_parameters(job: Job) -> Iterator[Finding]:
    """Yields the edges of a job with sound edges by which a task would take parameters that its framework cannot read.

    Models of the zoo have the same names and layouts of parameters in all frameworks that say so; those of users have
    not.
    """
    for name in job.tasks:
        framework = framework_of(job, name)
        for producer, need in job.tasks[name].needs.items():
            theirs = framework_of(job, producer)
            if need.kind != "parameters" or framework is None or theirs is None or theirs == framework:
                continue
            what = _not_shared(job, producer, theirs) or _not_shared(job, name, framework)
            if what is not None:
                text = f"{producer} has framework {theirs}, {name} has {framework}, and {what}"
                remedy = "names and layouts of parameters belong to a framework; only arrays can be handed on"
                yield ("tasks", name, "needs", producer), f"{text}: {remedy}"


def _not_shared(job: Job, name: str, framework: str) -> str | None:
    """Returns why the parameters of a task have no names that all frameworks share; None if they have."""
    own = user_models(kind_of(job, name).network(job, name))
    if own:
        return f"{' and '.join(own)} is no model of the zoo"
    return None if describe(framework).shares_zoo else f"{framework} has names of its own"

"""Checks what a job asks of frameworks: names of losses, optimizers, engines and models, and edges between frameworks.

Asks the descriptions of frameworks, which import none of them: see `hpcmtl.frameworks`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from hpcmtl.errors import nearest
from hpcmtl.frameworks.registry import UnknownFrameworkError, describe
from hpcmtl.jobfile.network import applied_to
from hpcmtl.jobfile.schema import Applied, Joint, Train, Trained

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hpcmtl.frameworks.description import FrameworkDescription
    from hpcmtl.jobfile.findings import Finding
    from hpcmtl.jobfile.schema import Job, Task

_ATTRIBUTE = re.compile(r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")
_OWN = "package.module:attribute"


def framework_of(job: Job, name: str) -> str | None:
    """Return the name of the framework that a task of a sound job needs, or None for a task without a network."""
    named = job.tasks[name]
    task = applied_to(job, named) if isinstance(named, Applied) else named
    return (task.framework or job.defaults.framework) if isinstance(task, Trained) else None


def tasks_by_framework(job: Job) -> dict[str, tuple[str, ...]]:
    """Return the names of the tasks of each framework that a sound job needs, in the order of the job."""
    found: dict[str, tuple[str, ...]] = {}
    for name in job.tasks:
        framework = framework_of(job, name)
        if framework is not None:
            found[framework] = (*found.get(framework, ()), name)
    return found


def with_engine(task: Task) -> Task:
    """Return a task with the default engine of its framework, where it has none and the framework is known."""
    if not isinstance(task, Trained) or task.engine is not None or task.framework is None:
        return task
    try:
        return task.model_copy(update={"engine": describe(task.framework).engines[0]})
    except UnknownFrameworkError:
        return task


def check_frameworks(job: Job) -> Iterator[Finding]:
    """Yield the unknown frameworks of a job, the names that a task's framework does not know, and unfit edges."""
    default = _unknown(job.defaults.framework)
    if default is not None:
        yield ("defaults", "framework"), default
    for name, task in job.tasks.items():
        if not isinstance(task, Trained):
            continue
        framework = task.framework or job.defaults.framework
        unknown = _unknown(framework)
        if unknown is None:
            yield from _names_in(("tasks", name), task, describe(framework))
            yield from _foreign_parameters(job, name, framework)
        elif framework != job.defaults.framework:
            yield ("tasks", name, "framework"), unknown
    for key, merge in job.merge.items():
        tasks = {name: job.tasks.get(name) for name in merge.tasks}
        members = {name: task.framework for name, task in tasks.items() if isinstance(task, Trained)}
        if len(set(members.values())) > 1:
            found = ", ".join(f"{name} ({framework})" for name, framework in members.items())
            yield ("merge", key, "tasks"), f"members of a merge have one framework; found {found}"


def _unknown(framework: str) -> str | None:
    try:
        describe(framework)
    except UnknownFrameworkError as error:
        return str(error)
    return None


def _names_in(here: tuple[str, ...], task: Trained, framework: FrameworkDescription) -> Iterator[Finding]:
    if task.optimizer is not None:
        yield from _own_or(
            (*here, "optimizer", "name"), "optimizer", task.optimizer.name, framework, framework.optimizers
        )
    if task.engine is not None and task.engine not in framework.engines:
        yield (*here, "engine"), _message("engine", task.engine, framework, framework.engines)
    if task.compression is not None and task.compression not in framework.compressions:
        yield (*here, "compression"), _message("compression", task.compression, framework, framework.compressions)
    if isinstance(task, Train):
        yield from _own_or((*here, "loss"), "loss", task.loss, framework, framework.losses)
        yield from _own_or((*here, "model", "name"), "model", task.model.name, framework, framework.models)
    for name, head in task.heads.items() if isinstance(task, Joint) else ():
        if head.loss is not None:
            yield from _own_or((*here, "heads", name, "loss"), "loss", head.loss, framework, framework.losses)
        if head.model is not None:
            path = (*here, "heads", name, "model", "name")
            yield from _own_or(path, "model", head.model.name, framework, framework.models)


def _own_or(
    path: tuple[str, ...], what: str, name: str, framework: FrameworkDescription, valid: tuple[str, ...]
) -> Iterator[Finding]:
    """Yield a finding unless a name is one of the framework's, or refers to an object of the user."""
    if name not in valid and not _ATTRIBUTE.match(name):
        yield path, _message(what, name, framework, (*valid, _OWN))


def _message(what: str, name: str, framework: FrameworkDescription, valid: tuple[str, ...]) -> str:
    return f"framework {framework.name} has no {what} {name!r}{nearest(name, valid)}"


def _foreign_parameters(job: Job, name: str, framework: str) -> Iterator[Finding]:
    """Yield the edges by which a task would take parameters of another framework."""
    for producer, need in job.tasks[name].needs.items():
        task = job.tasks.get(producer)
        if need.kind == "parameters" and isinstance(task, Trained) and task.framework != framework:
            text = f"{producer} has framework {task.framework}, {name} has {framework}"
            message = f"{text}: parameters have the names and layouts of their framework; only arrays can be handed on"
            yield ("tasks", name, "needs", producer), message

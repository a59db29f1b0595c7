"""Replaces tasks that stand for several by these, before the job is checked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcmtl.jobfile.kinds import kind_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from hpcmtl.jobfile.schema import Job
    from hpcmtl.jobfile.tasks import Need, TaskBase

    Replacements = dict[str, dict[str, TaskBase]]


def name_of_part(name: str, end: str) -> str:
    """Returns the name of one of the tasks that take the place of another."""
    return f"{name}.{end}"


def expanded(job: Job) -> Job:
    """Returns a job in which each task stands for itself.

    A task that runs the network of a replaced one is made once for each of the new networks. An edge of kind `order`
    from a replaced task becomes one from each new task. Other edges stay, so that the checks name them.
    """
    replaced: Replacements = {}
    for name in job.tasks:
        if own := kind_of(job, name).replacements(job, name):
            replaced[name] = dict(own)
    if not replaced:
        return job
    while more := {n: _copies(job, n, replaced) for n in job.tasks if n not in replaced and _runs(job, n, replaced)}:
        replaced |= more
    tasks: dict[str, TaskBase] = {}
    for name, task in job.tasks.items():
        for end, each in replaced.get(name, {"": task}).items():
            made = name_of_part(name, end) if end else name
            tasks[made] = each.model_copy(update={"needs": _ordered(each.needs, replaced)})
    return job.model_copy(update={"tasks": tasks})


def parts_of_name(name: str, names: Collection[str]) -> list[str]:
    """Returns the tasks that may have taken the place of one that is missing."""
    return [each for each in names if each.startswith(name_of_part(name, ""))]


def _runs(job: Job, name: str, replaced: Replacements) -> str | None:
    """Returns the replaced task whose network a task runs; None for other tasks."""
    if not kind_of(job, name).facts.runs_network:
        return None
    needs = job.tasks[name].needs.items()
    return next((producer for producer, need in needs if need.kind == "parameters" and producer in replaced), None)


def _copies(job: Job, name: str, replaced: Replacements) -> dict[str, TaskBase]:
    task, producer = job.tasks[name], _runs(job, name, replaced)
    assert producer is not None, "the caller has asked"
    copies = {}
    for end in replaced[producer]:
        needs = {name_of_part(each, end) if each == producer else each: need for each, need in task.needs.items()}
        copies[end] = task.model_copy(update={"needs": needs})
    return copies


def _ordered(needs: Mapping[str, Need], replaced: Replacements) -> dict[str, Need]:
    found: dict[str, Need] = {}
    for producer, need in needs.items():
        ends = replaced.get(producer, {}) if need.kind == "order" else {}
        found |= {name_of_part(producer, end): need for end in ends} or {producer: need}
    return found

"""Exchange of parameters between running tasks, by async edges and by merging, and the checks of it."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING

from hpcmtl.errors import nearest
from hpcmtl.jobfile.kinds import kind_of, kinds_with

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from hpcmtl.jobfile.findings import Finding
    from hpcmtl.jobfile.schema import Job, Merge
    from hpcmtl.jobfile.tasks import Need


def live_needs(job: Job, name: str) -> dict[str, Need]:
    """Returns the producers that run at the same time as a task, with the edges."""
    return {producer: need for producer, need in job.tasks[name].needs.items() if need.live}


def live_consumers(job: Job, name: str) -> dict[str, Need]:
    """Returns the tasks that take versions of a task's parameters while it runs, with the edges."""
    found = {consumer: task.needs.get(name) for consumer, task in job.tasks.items()}
    return {consumer: need for consumer, need in found.items() if need is not None and need.live}


def merge_of(job: Job, name: str) -> tuple[str, Merge] | None:
    """Returns the merge that a task is a member of, with its name."""
    return next(((key, merge) for key, merge in job.merge.items() if name in merge.tasks), None)


def members_with(job: Job, name: str) -> tuple[str, ...]:
    """Returns the members of the merge that a task belongs to, itself included; none for other tasks."""
    found = merge_of(job, name)
    return () if found is None else found[1].tasks


def is_coupled(job: Job) -> bool:
    """Returns true if any two tasks exchange parameters while they run."""
    return bool(job.merge) or any(need.live for task in job.tasks.values() for need in task.needs.values())


def check_coupling(job: Job, unread: Collection[str]) -> Iterator[Finding]:
    """Yields edges that cannot be async, and merges that are not possible."""
    for name, task in job.tasks.items():
        for producer, need in task.needs.items():
            path = ("tasks", name, "needs", producer)
            if need.mode == "sync":
                continue
            if need.kind != "parameters":
                text = f"a {need.kind} edge is always sync: only parameters have versions; write `kind: parameters`"
                yield path, f"{text}, or leave out `mode`"
            elif not kind_of(job, name).facts.exchanges_parameters:
                text = f"{task.kind} tasks use what they need once: they cannot take versions while they run"
                yield path, f"{text}; leave out `mode: async`"
            elif producer in job.tasks and not kind_of(job, producer).facts.exchanges_parameters:
                text = f"the parameters of a {job.tasks[producer].kind} task do not change while this task runs"
                yield path, f"{text}; leave out `mode: async`"
    yield from _merges(job, unread)


def _merges(job: Job, unread: Collection[str]) -> Iterator[Finding]:
    known = [*job.tasks, *unread]
    member_of: dict[str, str] = {}
    for key, merge in job.merge.items():
        path = ("merge", key, "tasks")
        for name in merge.tasks:
            if name not in known:
                yield path, f"unknown task {name!r}{nearest(name, known)}"
            elif name not in unread and not kind_of(job, name).facts.exchanges_parameters:
                able = kinds_with(job, lambda facts: facts.exchanges_parameters)
                yield path, f"{name!r} is a {job.tasks[name].kind} task; only {able} have parameters to merge"
            if name in member_of:
                where = "twice" if member_of[name] == key else f"of merge {member_of[name]!r} as well"
                yield path, f"{name!r} is a member {where}: two rounds could wait for each other"
            member_of[name] = key
    yield from _circular_waits(job, member_of)


def _circular_waits(job: Job, member_of: Mapping[str, str]) -> Iterator[Finding]:
    """Yields members of a merge that need each other, also through other tasks: they wait for each other already."""
    for name, task in job.tasks.items():
        for need in task.needs:
            if need in member_of and member_of.get(name) == member_of[need]:
                text = f"{name!r} needs {need!r}: members of a merge run at the same time and cannot need each other"
                yield ("merge", member_of[need], "tasks"), text
                return
    whole: dict[str, set[str]] = {}
    for name, task in job.tasks.items():
        together = whole.setdefault(f"merge {member_of[name]}" if name in member_of else name, set())
        together |= {f"merge {member_of[need]}" if need in member_of else need for need in task.needs}
    try:
        TopologicalSorter({name: task.needs for name, task in job.tasks.items()}).prepare()
    except CycleError:
        return  # already reported by the check of cycles
    try:
        TopologicalSorter(whole).prepare()
    except CycleError as error:
        key = next(name for name in error.args[1] if name.startswith("merge ")).removeprefix("merge ")
        text = f"a member needs another through other tasks: {' -> '.join(reversed(error.args[1]))}"
        yield ("merge", key, "tasks"), f"{text}; members of a merge run at the same time"

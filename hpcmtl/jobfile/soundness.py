"""The part of a job that further checks can look at, when some of its keys have problems.

A wrong metric or a wrong number of epochs does not change a network, so that the network and the tasks behind it are
still checked. What a wrong key would make other keys look like is not reported.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from hpcmtl.jobfile.kinds import kind_of
from hpcmtl.jobfile.tasks import TaskBase

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from hpcmtl.jobfile.findings import Finding
    from hpcmtl.jobfile.schema import Job

_ASIDE: Mapping[str, Any] = MappingProxyType({"epochs": 1, "metrics": (), "optimizer": None, "weight": 1.0})
"""Keys beside network and arrays, beyond those of every task, with values that no check complains of."""
_OF_OBJECTIVES = frozenset(
    {
        "target",
        "targets",
        "masks",
        "missing",
        "mask",
        "class_weights",
        "mean_over",
        "label_smoothing",
        "per_token",
        "loss",
        "consistency",
        "sample_weights",
        "sampler",
    }
)
_OF_TRAINING = {"mixture", "batch_size", "engine", "compression", "validate_every", "freeze", "transform", "buckets"}
_BESIDE = frozenset({*_ASIDE, *_OF_TRAINING, *TaskBase.model_fields, "with"} - {"kind", "needs"})


def is_aside(path: tuple[str, ...]) -> bool:
    """Returns true if a key of a task, whose path inside the task is given, concerns neither networks nor arrays."""
    return _key(path) in _BESIDE


def is_of_objectives(path: tuple[str, ...]) -> bool:
    """Returns true if a key of a task concerns what a network is trained for, but not the network itself."""
    return _key(path) in _OF_OBJECTIVES


def _key(path: tuple[str, ...]) -> str:
    """Returns the key of a task, or of one of its heads or sources, in which a path begins."""
    inside = path[2:3] if path[:1] in {("heads",), ("sources",)} else path[:1]
    return inside[0] if inside else ""


@dataclass(frozen=True)
class SoundPart:
    """The part of a job that further checks can look at.

    Attributes:
        job: the job with the tasks whose networks and arrays have no problem; other keys with problems are reset.
        partly: those of its tasks whose targets, losses or weights have problems, and those that take a network from
            such a task: further checks look at their networks alone.
    """

    job: Job
    partly: frozenset[str] = frozenset()

    def concerns(self, finding: Finding) -> bool:
        """Returns false for a finding that may only follow from a problem that was found before."""
        path = finding[0]
        if path[0] != "tasks" or path[1] not in self.partly:
            return True
        inner = path[2:]
        return not (is_of_objectives(inner) or is_aside(inner) or inner == ("needs",) or not inner)


def sound_part(
    job: Job, found: Iterable[Finding], unread: Collection[str] = (), partly: Collection[str] = ()
) -> SoundPart:
    """Returns the job without the tasks whose networks or arrays have findings, and without all that need these.

    Args:
        job: the job.
        found: findings of its tasks.
        unread: names of tasks and data that could not be read.
        partly: tasks with problems of their objectives that were found before.
    """
    paths = [path[1:] for path, _ in found if len(path) > 1 and path[0] == "tasks" and path[1] in job.tasks]
    if unread:
        paths += [path for name in job.tasks for path in _unreadable(job, name, unread)]
    bad = {name for name, *inner in paths if not is_aside(tuple(inner)) and not is_of_objectives(tuple(inner))}
    bad = _with_consumers(job, {*bad, *unread}, unread)
    tasks = {name: task for name, task in job.tasks.items() if name not in bad}
    doubtful = {*partly, *(name for name, *inner in paths if is_of_objectives(tuple(inner)))}
    origins = {name: objective_origins(job, name) for name in tasks} if doubtful else {}
    while more := {name for name in origins if name not in doubtful and not doubtful.isdisjoint(origins[name])}:
        doubtful |= more
    for name, *inner in paths:
        if name in tasks and is_aside(tuple(inner)):
            tasks[name] = _reset(tasks[name], inner)
    return SoundPart(job.model_copy(update={"tasks": tasks}), frozenset(doubtful & tasks.keys()))


def _unreadable(job: Job, name: str, unread: Collection[str]) -> Iterator[tuple[str, ...]]:
    """Yields the keys of a task that name arrays of what could not be read."""
    for path, reference in kind_of(job, name).own_references(job, name):
        if reference.split("/", 1)[0] in unread:
            yield (name, *path)


def _with_consumers(job: Job, bad: set[str], unread: Collection[str]) -> set[str]:
    """Returns tasks with problems, together with those that need them, or need what is no task."""
    needs, known = {name: task.needs for name, task in job.tasks.items()}, {*job.tasks, *unread}
    bad = bad | {name for name in needs if not known.issuperset(needs[name])}
    while more := {name for name in needs if name not in bad and not bad.isdisjoint(needs[name])}:
        bad |= more
    return bad


def objective_origins(job: Job, name: str) -> set[str]:
    """Returns the tasks from which a task may take targets and losses together with a network."""
    if "target" in type(job.tasks[name]).model_fields:
        return set()
    return {producer for producer, need in job.tasks[name].needs.items() if need.kind == "parameters"}


def _reset(task: Any, path: list[str]) -> Any:
    """Returns a task, or a part of one, in which a key beside the network has a value without problems."""
    key, *rest = path
    if key == "heads":
        head, *inner = rest
        return task.model_copy(update={"heads": {**task.heads, head: _reset(task.heads[head], inner)}})
    name = "with_" if key == "with" else key
    if name not in type(task).model_fields:
        return task
    field = type(task).model_fields[name]
    value = _ASIDE[name] if name in _ASIDE else field.get_default(call_default_factory=True)
    return task.model_copy(update={name: value})


def is_tolerated(path: tuple[str | int, ...], begun: Collection[str]) -> bool:
    """Returns true for a finding on arrays that must not end a run: an earlier version let it pass, and training began.

    Metrics of a task that has begun cannot be changed any more. Where they have no samples, the run notes it.
    """
    return path[:1] == ("tasks",) and path[1] in begun and path[-1] == "metrics"

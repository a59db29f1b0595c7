"""What is wrong with a job that one value alone does not show: references, edges, cycles, names, resources.

Every check yields (key path, message); `load.py` adds file and line. Nothing here opens a data file: see `shapes.py`.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from hpcmtl.errors import nearest
from hpcmtl.jobfile.coupling import check_coupling
from hpcmtl.jobfile.frameworks import check_frameworks
from hpcmtl.jobfile.network import applied_to, network_of
from hpcmtl.jobfile.references import check_arrays, check_sources
from hpcmtl.jobfile.schema import (
    METRICS,
    METRICS_WITH_CUTOFF,
    Applied,
    Evaluate,
    Extract,
    Joint,
    Train,
    Trained,
)
from hpcmtl.networks.description import parts_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from hpcmtl.jobfile.findings import Finding
    from hpcmtl.jobfile.schema import Job, Task

_NOTHING: Mapping[str, tuple[str, ...]] = MappingProxyType({})


def check_job(job: Job, unread: Mapping[str, tuple[str, ...]] = _NOTHING) -> list[Finding]:
    """Everything that is wrong with a job; each deeper check looks at what the ones before found sound.

    Args:
        job: the job, without the tasks that could not be read.
        unread: the names and needs of those.
    """
    found = [*_names(job), *_edges(job, unread), *_known_names(job), *_resources(job), *_cycles(job, unread)]
    found += check_sources(job, unread)
    found += check_coupling(job, unread)
    found += check_frameworks(job)
    found += _origins(sound_part(job, found, unread))
    rest = sound_part(job, found, unread)
    return [*found, *check_arrays(rest), *_parts(rest)]


def sound_part(job: Job, found: Iterable[Finding], unread: Mapping[str, tuple[str, ...]] = _NOTHING) -> Job:
    """The job without the tasks that something was found in, and without all that need these."""
    bad = {path[1] for path, _ in found if len(path) > 1 and path[0] == "tasks"} | set(unread)
    bad |= {name for name, task in job.tasks.items() if not set(task.needs) <= {*job.tasks, *unread}}
    needs = {name: task.needs for name, task in job.tasks.items()}
    while more := {name for name in needs if name not in bad and not bad.isdisjoint(needs[name])}:
        bad |= more
    return job.model_copy(update={"tasks": {name: task for name, task in job.tasks.items() if name not in bad}})


def _cycles(job: Job, unread: Mapping[str, tuple[str, ...]]) -> Iterator[Finding]:
    for cycle in cycles({**unread, **{name: tuple(task.needs) for name, task in job.tasks.items()}}):
        yield ("tasks", cycle[0], "needs"), f"cycle: {' -> '.join(cycle)}"


def cycles(needs: Mapping[str, Iterable[str]]) -> list[tuple[str, ...]]:
    """Every cycle that a depth-first walk meets, as a closed path of task names; empty for a graph without any."""
    state: dict[str, int] = {}
    found: list[tuple[str, ...]] = []
    for start in needs:
        if start in state:
            continue
        state[start] = 1
        stack: list[tuple[str, Iterator[str]]] = [(start, iter(needs[start]))]
        while stack:
            name, rest = stack[-1]
            follow = next((other for other in rest if other in needs and state.get(other) != 2), None)
            if follow is None:
                state[name] = 2
                stack.pop()
            elif follow in state:
                path = [entry for entry, _ in stack]
                found.append((*path[path.index(follow) :], follow))
            else:
                state[follow] = 1
                stack.append((follow, iter(needs[follow])))
    return found


def _names(job: Job) -> Iterator[Finding]:
    for name in sorted(set(job.tasks) & set(job.data)):
        yield (
            ("tasks", name),
            f"{name!r} is also a name under `data`; a reference {name}/... would have two meanings",
        )


def _edges(job: Job, unread: Mapping[str, tuple[str, ...]]) -> Iterator[Finding]:
    for name, task in job.tasks.items():
        for producer, need in task.needs.items():
            path = ("tasks", name, "needs", producer)
            if producer in unread:
                continue
            if producer not in job.tasks:
                yield path, f"unknown task {producer!r}{nearest(producer, [*job.tasks, *unread])}"
            elif need.kind == "parameters" and not isinstance(job.tasks[producer], Train | Joint):
                yield (
                    path,
                    f"a {job.tasks[producer].kind} task has no parameters to hand on; only train and joint have",
                )


def _known_names(job: Job) -> Iterator[Finding]:
    for name, task in job.tasks.items():
        here = ("tasks", name)
        if isinstance(task, Train | Evaluate):
            for metric in task.metrics:
                yield from _metric((*here, "metrics"), metric)
        if isinstance(task, Joint):
            yield from _head_names(here, task)


def _head_names(here: tuple[str, ...], task: Joint) -> Iterator[Finding]:
    for name, head in task.heads.items():
        for metric in head.metrics or ():
            yield from _metric((*here, "heads", name, "metrics"), metric)


def _metric(path: tuple[str, ...], name: str) -> Iterator[Finding]:
    metric, at, cutoff = name.partition("@")
    if metric not in METRICS:
        yield path, f"unknown metric {name!r}{nearest(metric, METRICS)}"
    elif at and (metric not in METRICS_WITH_CUTOFF or not cutoff.isdigit() or int(cutoff) == 0):
        yield path, f"found {name!r}; only {' and '.join(METRICS_WITH_CUTOFF)} have a cut-off, e.g. ndcg@10"


def _resources(job: Job) -> Iterator[Finding]:
    for name, task in job.tasks.items():
        path, ranks = ("tasks", name, "ranks"), task.ranks
        if ranks.max is not None and ranks.max < ranks.min:
            yield path, f"min {ranks.min} is more than max {ranks.max}"
        elif ranks.min > job.ranks:
            yield path, f"the task needs {ranks.min} ranks but the job has {job.ranks} (`ranks: {job.ranks}`)"
        elif not any(ranks.allow(width) for width in range(1, job.ranks + 1)):
            most = min(ranks.max or job.ranks, job.ranks)
            yield path, f"no number from {ranks.min} to {most} is what `multiple_of` and `powers_of_two` ask for"
        if task.with_ is not None and task.with_ not in task.needs:
            text = f"{task.with_!r} is not among `needs`{nearest(task.with_, task.needs)}"
            yield ("tasks", name, "with"), f"{text}; a task can only come after the one whose ranks it takes over"
        engine = getattr(task, "engine", None)
        if engine == "local" and ranks.min > 1:
            yield path, f"engine `local` is for one rank, but the task asks for at least {ranks.min}"


def _origins(job: Job) -> Iterator[Finding]:
    """Tasks whose parameters are used must be named under `needs` as such, and all such edges must be used."""
    for name, task in job.tasks.items():
        given = [producer for producer, need in task.needs.items() if need.kind == "parameters"]
        if isinstance(task, Applied):
            if len(given) != 1:
                text = f"{task.kind} runs the network of exactly one task: write `needs: {{TASK: parameters}}`"
                yield ("tasks", name, "needs"), f"{text}; found {len(given)} such edges"
            continue
        for path, producer in _used_origins(task):
            if producer not in given:
                yield (
                    ("tasks", name, *path),
                    f"{producer!r} is not among `needs` with kind parameters{nearest(producer, given)}",
                )
        yield from _head_origins(job, name, task)
        used = {producer for _, producer in _used_origins(task)}
        for producer in [p for p in given if isinstance(task, Joint) and p not in used]:
            yield (
                ("tasks", name, "needs", producer),
                "its parameters are used by neither `trunk` nor `heads`; use `order`",
            )


def _head_origins(job: Job, name: str, task: Task) -> Iterator[Finding]:
    for head_name, head in task.heads.items() if isinstance(task, Joint) else ():
        if head.from_ in job.tasks and not isinstance(job.tasks[head.from_], Train):
            yield (
                ("tasks", name, "heads", head_name, "from"),
                f"a head comes from a train task; {head.from_!r} is joint",
            )


def _used_origins(task: Task) -> Iterator[Finding]:
    if isinstance(task, Joint):
        yield ("trunk", "from"), task.trunk.from_
        for head_name, head in task.heads.items():
            if head.from_ is not None:
                yield ("heads", head_name, "from"), head.from_
    if isinstance(task, Trained):
        for producer in task.initialise:
            yield ("initialise", producer), producer


def _parts(job: Job) -> Iterator[Finding]:
    for name, task in job.tasks.items():
        if isinstance(task, Joint) and task.trunk.part is not None:
            producer = job.tasks[task.trunk.from_]
            assert isinstance(producer, Train | Joint)
            yield from _part(job, producer, task.trunk.part, ("tasks", name, "trunk", "part"))
        if isinstance(task, Extract):
            yield from _part(job, applied_to(job, task), task.output, ("tasks", name, "output"))


def _part(job: Job, producer: Train | Joint, part: str, path: tuple[str, ...]) -> Iterator[Finding]:
    valid = parts_of(network_of(job, producer))
    if valid is not None and part not in valid:
        yield path, f"the network has no part {part!r}{nearest(part, valid)}"

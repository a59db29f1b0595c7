"""Checks of a job that compare its values: references, edges, cycles, names, resources.

Every check yields (key path, message); `load.py` adds file and line. Nothing here opens a data file: see `shapes.py`.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from hpcmtl.errors import nearest
from hpcmtl.jobfile.coupling import check_coupling
from hpcmtl.jobfile.expand import parts_of_name
from hpcmtl.jobfile.frameworks import check_foreign_parameters, check_frameworks
from hpcmtl.jobfile.kinds import kind_of, kinds_with
from hpcmtl.jobfile.references import check_arrays, check_sources, to_add
from hpcmtl.jobfile.soundness import sound_part

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from hpcmtl.jobfile.findings import Finding
    from hpcmtl.jobfile.kinds import TaskKind
    from hpcmtl.jobfile.schema import Job

_NOTHING: Mapping[str, tuple[str, ...]] = MappingProxyType({})


def check_job(job: Job, unread: Mapping[str, tuple[str, ...]] = _NOTHING) -> list[Finding]:
    """Finds all problems of a job; each deeper check looks at the part that the ones before found sound.

    Args:
        job: the job, without the tasks that could not be read.
        unread: the names and needs of those, and the names of data that could not be read.
    """
    own = _by_kind(job, lambda kind, name: kind.own_checks(job, name))
    found = [*_names(job), *_edges(job, unread), *own, *_resources(job), *_cycles(job, unread)]
    found += check_sources(job, unread)
    found += check_coupling(job, unread)
    found += check_frameworks(job)
    linked = sound_part(job, found, unread)
    found += _by_kind(linked.job, lambda kind, name: kind.edge_checks(linked.job, name))
    rest = sound_part(job, found, unread)
    networks = [*_by_kind(rest.job, lambda kind, name: kind.network_checks(rest.job, name))]
    networks += check_foreign_parameters(rest.job)
    return [*found, *filter(rest.concerns, [*check_arrays(rest.job), *networks])]


def _by_kind(job: Job, check: Callable[[TaskKind, str], Iterator[Finding]]) -> Iterator[Finding]:
    for name in job.tasks:
        for path, message in check(kind_of(job, name), name):
            yield ("tasks", name, *path), message


def _cycles(job: Job, unread: Mapping[str, tuple[str, ...]]) -> Iterator[Finding]:
    for cycle in cycles({**unread, **{name: tuple(task.needs) for name, task in job.tasks.items()}}):
        yield ("tasks", cycle[0], "needs"), f"cycle: {' -> '.join(cycle)}"


def cycles(needs: Mapping[str, Iterable[str]]) -> list[tuple[str, ...]]:
    """Finds every cycle that a depth-first walk meets, as a closed path of names; none in a graph without cycles."""
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
                parts = parts_of_name(producer, job.tasks)
                near = nearest(producer, [*job.tasks, *unread])
                hint = f"; it stands for {', '.join(parts)}: name one of these" if parts else near
                yield path, f"unknown task {producer!r}{hint}"
            elif need.kind == "parameters" and not kind_of(job, producer).facts.has_parameters:
                able = kinds_with(job, lambda facts: facts.has_parameters)
                yield path, f"a {job.tasks[producer].kind} task has no parameters to hand on; only {able} have"


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
        if ranks.gpu_memory is not None and kind_of(job, name).device(job, name) == "cpu":
            text = "asks for memory of a GPU, and the task computes on CPUs (`device: cpu`)"
            yield (*path, "gpu_memory"), f"{text}: leave `gpu_memory` out, or write `device: gpu`"
        if task.with_ is not None and task.with_ not in task.needs:
            text = f"{task.with_!r} is not among `needs`{to_add(job, task.with_, 'order', task.needs)}"
            yield ("tasks", name, "with"), f"{text}; a task can only come after the one whose ranks it takes over"

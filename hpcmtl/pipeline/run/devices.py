"""Compares the GPUs that ranks have with what the tasks of a job ask for, before anything is trained."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from hpcmtl.errors import InputError
from hpcmtl.jobfile.defaults import in_defaults
from hpcmtl.jobfile.frameworks import framework_of, tasks_by_framework
from hpcmtl.jobfile.kinds import kind_of
from hpcmtl.training.frameworks import open_framework

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcmtl.communicators.base import Communicator
    from hpcmtl.jobfile.schema import Job
    from hpcmtl.launch.resources.world import WorldFacts
    from hpcmtl.pipeline.prepare import Prepared

_log = logging.getLogger(__name__)

NO_FRAMEWORK = ""
"""Stands for the framework of a task without a network."""
_REMEDY = (
    "write `device: auto` or `cpu`, or run where ranks have GPUs: `slurm: {gpus_per_task: 1}` asks Slurm for them, and "
    "`hpcmtl doctor` shows what this machine has"
)


def with_usable_gpus(world: Communicator, prepared: Prepared, facts: WorldFacts) -> WorldFacts:
    """Notes which frameworks can compute on the GPUs of the ranks (collective).

    Args:
        world: all ranks.
        prepared: the job, whose frameworks are open.
        facts: facts about all ranks, from the probe.

    Returns:
        The facts. A rank whose GPU cannot be used by a framework of which tasks ask for GPUs counts as one without.

    Raises:
        InputError: tasks ask for a GPU, and no rank has one that their framework can use; on all ranks.
    """
    asking = tasks_asking_for_gpus(prepared.job)
    problems = _problems(world, prepared.job, facts)
    with_gpu = frozenset(rank for rank, gpu in enumerate(facts.gpus) if gpu is not None)
    fit = {name: frozenset(r for r in with_gpu if not texts[r]) for name, texts in problems.items()}
    refused = [
        (("tasks", task, *key), f"the task asks for a GPU, and {_found(facts, problems.get(name, ()))}: {_REMEDY}")
        for name, tasks in asking.items()
        for task, key in tasks.items()
        if not fit.get(name, with_gpu)
    ]
    if refused:
        raise InputError(prepared.located(in_defaults(prepared.job, refused)))
    for name, ranks in fit.items() if world.rank == 0 else ():
        if others := with_gpu - ranks:
            text = f"GPUs of {len(others)} ranks: rank {min(others)}: {problems[name][min(others)]}"
            _log.warning("%s does not use the %s", name, text)
    lost = frozenset[int]().union(*(with_gpu - fit.get(name, with_gpu) for name in asking))
    return replace(facts.without_gpus(lost), fit=fit)


def tasks_asking_for_gpus(job: Job) -> dict[str, dict[str, tuple[str, ...]]]:
    """Returns the tasks that ask for GPUs, and the path of the key by which they do, for each framework."""
    found: dict[str, dict[str, tuple[str, ...]]] = {}
    for name, task in job.tasks.items():
        memory, device = task.ranks.gpu_memory, kind_of(job, name).device(job, name)
        if memory is not None or device == "gpu":
            key = ("device",) if device == "gpu" else ("ranks", "gpu_memory")
            found.setdefault(framework_of(job, name) or NO_FRAMEWORK, {})[name] = key
    return found


def _problems(world: Communicator, job: Job, facts: WorldFacts) -> dict[str, list[str]]:
    """Returns for each framework why it cannot use the GPU of each rank; an empty text where it can (collective)."""
    if not any(number is not None for number in facts.gpu_numbers):
        return {}
    number, mine = facts.gpu_numbers[world.rank], {}
    for name, tasks in tasks_by_framework(job).items():
        if all(kind_of(job, task).device(job, task) == "cpu" for task in tasks):
            continue  # a framework that opens a GPU holds memory of it to its end
        mine[name] = "" if number is None else open_framework(name).gpu_problem(number) or ""
    everyone = world.allgather(mine)
    return {name: [found[name] for found in everyone] for name in mine}


def _found(facts: WorldFacts, problems: Sequence[str]) -> str:
    """Returns what was found in place of a GPU that can be used."""
    hosts = list(dict.fromkeys(facts.hosts))
    shown = ", ".join(hosts[:3]) + (f" and {len(hosts) - 3} more nodes" if len(hosts) > 3 else "")
    for rank, gpu in enumerate(facts.gpus):
        if gpu is not None:
            return f"none can be used: rank {rank} on {facts.hosts[rank]} has {gpu.name}, but {problems[rank]}"
    return f"none of the {len(facts.ranks)} ranks (on {shown}) has one that it may use"

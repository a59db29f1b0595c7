"""What network a task has, which parameters it takes over, what it is trained for and which arrays it publishes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcmtl.jobfile.schema import Extract, Joint, Predict, Python, Train
from hpcmtl.networks.description import Leaf, Part, Shared
from hpcmtl.networks.objective import MAIN, Objective
from hpcmtl.networks.parameter_mapping import ParameterMapping

if TYPE_CHECKING:
    from hpcmtl.jobfile.schema import Job, Task
    from hpcmtl.networks.description import NetworkDescription


def network_of(job: Job, task: Train | Joint) -> NetworkDescription:
    """The network that a train or joint task trains."""
    if isinstance(task, Train):
        return Leaf(task.model)
    whole = network_of(job, _trained(job, task.trunk.from_))
    trunk = whole if task.trunk.part is None else Part(whole, task.trunk.part)
    heads = tuple(
        (name, Leaf(head.model) if head.model else network_of(job, _trained(job, str(head.from_))))
        for name, head in task.heads.items()
    )
    return Shared(trunk, heads)


def objectives_of(job: Job, task: Train | Joint) -> tuple[Objective, ...]:
    """What a task is trained for; a head taken from a task keeps its target, loss and metrics unless it says."""
    if isinstance(task, Train):
        return (Objective(MAIN, task.target, task.loss, 1.0, task.metrics),)
    result = []
    for name, head in task.heads.items():
        origin = job.tasks.get(head.from_) if head.from_ else None
        base = origin if isinstance(origin, Train) else None
        result.append(
            Objective(
                name,
                head.target or (base.target if base else ""),
                head.loss or (base.loss if base else ""),
                head.weight,
                head.metrics if head.metrics is not None else (base.metrics if base else ()),
            )
        )
    return tuple(result)


def parameter_mappings(task: Train | Joint) -> tuple[ParameterMapping, ...]:
    """Which parameters a task begins with instead of fresh ones."""
    if isinstance(task, Joint):
        trunk = ParameterMapping(task.trunk.from_, f"{task.trunk.part}." if task.trunk.part else "", "trunk.")
        heads = (
            ParameterMapping(head.from_, "", f"heads.{name}.")
            for name, head in task.heads.items()
            if head.from_ is not None
        )
        return (trunk, *heads)
    producers = [name for name, need in task.needs.items() if need.kind == "parameters"]
    return tuple(ParameterMapping(name, pattern=task.initialise.get(name, "*")) for name in producers)


def published_arrays(job: Job, task: Task) -> tuple[str, ...]:
    """Names of the arrays that other tasks may read from this one."""
    if isinstance(task, Extract):
        return ("values",)
    if isinstance(task, Python):
        return task.outputs
    if isinstance(task, Predict):
        return tuple(objective.name for objective in objectives_of(job, applied_to(job, task)))
    return ()


def applied_to(job: Job, task: Task) -> Train | Joint:
    """The task whose network an extract, predict or evaluate task runs (its one `parameters` edge)."""
    return _trained(job, next(name for name, need in task.needs.items() if need.kind == "parameters"))


def _trained(job: Job, name: str) -> Train | Joint:
    task = job.tasks[name]
    assert isinstance(task, Train | Joint), f"{name} trains nothing"
    return task

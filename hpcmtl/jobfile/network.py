"""What network a task has, which parameters it takes over, what it is trained for and which arrays it publishes."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hpcmtl.jobfile.schema import Extract, Joint, Predict, Python, Train
from hpcmtl.networks.models import NetworkSize

if TYPE_CHECKING:
    from hpcmtl.jobfile.schema import Job, Task
    from hpcmtl.networks.models import Model, Shape

MAIN = "main"


@dataclass(frozen=True)
class Leaf:
    """A model of the zoo or of the user."""

    model: Model


@dataclass(frozen=True)
class Part:
    """A named part of a network."""

    whole: NetworkDescription
    part: str


@dataclass(frozen=True)
class Shared:
    """A trunk and the heads on top of it."""

    trunk: NetworkDescription
    heads: tuple[tuple[str, NetworkDescription], ...]


NetworkDescription = Leaf | Part | Shared


@dataclass(frozen=True)
class Objective:
    """One thing that a task is trained for."""

    name: str
    target: str
    loss: str
    weight: float
    metrics: tuple[str, ...]


@dataclass(frozen=True)
class ParameterMapping:
    """Parameters of `producer` that match `pattern` and begin with `take` become those that begin with `into`."""

    producer: str
    take: str = ""
    into: str = ""
    pattern: str = "*"

    def target(self, name: str) -> str | None:
        """The name under which a parameter of the producer is taken over; None if it is not."""
        if not name.startswith(self.take) or not fnmatch.fnmatchcase(name, self.pattern):
            return None
        return self.into + name.removeprefix(self.take)


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


def parts_of(network: NetworkDescription) -> tuple[str, ...] | None:
    """Parts of a network that may be named; None where only building it tells."""
    if isinstance(network, Leaf):
        return network.model.parts
    return ("trunk",) if isinstance(network, Shared) else ()


def output_shape(network: NetworkDescription, sample: Shape) -> Shape | None:
    """Shape of one sample after the network, without the heads for a shared one; None where it cannot be known.

    Raises:
        ShapeError: if the network cannot take such samples.
    """
    if isinstance(network, Leaf):
        return network.model.output_shape(sample)
    if isinstance(network, Shared):
        return output_shape(network.trunk, sample)
    if isinstance(network.whole, Leaf):
        return network.whole.model.output_shape(sample, network.part)
    return output_shape(network.whole, sample)


def objective_shapes(network: NetworkDescription, sample: Shape) -> dict[str, Shape | None]:
    """Shape that each objective's output has for one sample."""
    if not isinstance(network, Shared):
        return {MAIN: output_shape(network, sample)}
    code = output_shape(network.trunk, sample)
    return {name: output_shape(head, code) if code is not None else None for name, head in network.heads}


def size_of(network: NetworkDescription, sample: Shape) -> NetworkSize:
    """How large a network is; parts that only building tells count as nothing."""
    if isinstance(network, Leaf):
        return network.model.size(sample) or NetworkSize(0, 0)
    if isinstance(network, Part):
        whole = network.whole
        if isinstance(whole, Leaf):
            return whole.model.size(sample, network.part) or NetworkSize(0, 0)
        return size_of(whole.trunk if isinstance(whole, Shared) else whole, sample)  # whose one part is its trunk
    code = output_shape(network.trunk, sample)
    heads = () if code is None else (size_of(head, code) for _, head in network.heads)
    return size_of(network.trunk, sample).plus(*heads)

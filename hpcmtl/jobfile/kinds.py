"""The seam to task kinds: all that the rest of hpcmtl knows of a kind of task.

A kind is one object. `hpcmtl.training.kinds` has those that come with hpcmtl and a base class with defaults; other
packages add theirs by an entry point, see `kind_registry`. Methods get the whole job and the name of a task, since
tasks take networks and arrays from each other. Paths of keys that they give begin inside the task.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from hpcmtl.jobfile.kind_registry import BUILT_IN, load_kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from hpcmtl.jobfile.arrays import ArraySpec, KeyedReference
    from hpcmtl.jobfile.fields import DeviceName, Precision
    from hpcmtl.jobfile.findings import Finding
    from hpcmtl.jobfile.kind_facts import KindFacts
    from hpcmtl.jobfile.schema import Job
    from hpcmtl.jobfile.tasks import Optimizer, TaskBase
    from hpcmtl.jobfile.transforms import Transform
    from hpcmtl.jobfile.turns import Turns
    from hpcmtl.jobfile.views import JobView
    from hpcmtl.jobfile.weighting import WeightingChoice
    from hpcmtl.jobfile.work import Work
    from hpcmtl.networks.consistency import AnyLoss, Consistency
    from hpcmtl.networks.description import NetworkDescription
    from hpcmtl.networks.objective import Objective
    from hpcmtl.networks.parameter_mapping import ParameterMapping
    from hpcmtl.networks.shapes import InputShapes


@dataclass(frozen=True)
class UserCallable:
    """A function of the user's that a task calls.

    Attributes:
        key: key of the task that names it.
        reference: ``package.module:attribute``.
        arguments: what it is given, one phrase for each positional argument.
    """

    key: str
    reference: str
    arguments: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class FrameworkNeeds:
    """The parts that a task asks its framework or its user for; they are tried before the job runs.

    Attributes:
        network: description of its network; None if it has none.
        samples: shape of one sample of each input of the network; None where only running another task shows one.
        objectives: losses that it is trained for.
        consistency: losses between outputs of two heads.
        optimizer: optimizer that it is trained by.
        freeze: patterns of the names of parameters that are not trained in the first epoch.
        frozen_for_now: those of them whose parameters are trained at other times.
        later_freeze: the same patterns in later epochs, each time that they change.
        accumulate: number of micro-batches of a rank's share of a batch.
        precision: type of numbers that the network computes in.
        sync_batchnorm: whether batch normalisation uses the statistics of the whole group's batch.
        targets: description of the targets of each objective, as far as it is known.
        part: part of the network whose output it stores.
        callables: functions of the user's.
    """

    network: NetworkDescription | None = None
    samples: InputShapes | None = None
    objectives: tuple[Objective, ...] = ()
    consistency: tuple[Consistency, ...] = ()
    targets: tuple[ArraySpec, ...] = ()
    optimizer: Optimizer | None = None
    freeze: tuple[str, ...] = ()
    frozen_for_now: tuple[str, ...] = ()
    later_freeze: tuple[tuple[str, ...], ...] = ()
    accumulate: int = 1
    precision: Precision = "fp32"
    sync_batchnorm: bool = False
    part: str | None = None
    callables: tuple[UserCallable, ...] = ()

    @property
    def losses(self) -> tuple[AnyLoss, ...]:
        """Returns all losses, in the order of a learner's."""
        return (*self.objectives, *self.consistency)

    @property
    def loss_names(self) -> tuple[str, ...]:
        """Returns the losses of the objectives, and those of the user's between outputs."""
        return (*(each.loss for each in self.objectives), *(each.loss for each in self.consistency if each.is_of_user))


class TaskKind(Protocol):
    """A kind of task.

    The checks of a job come in four depths: own_checks, edge_checks, network_checks, shape_checks. Each runs for the
    tasks that the ones before found sound, together with all that they need.
    """

    @property
    def name(self) -> str:
        """Returns the value of `kind` in job files."""
        ...

    @property
    def schema(self) -> type[TaskBase]:
        """Returns the model of the keys of its tasks."""
        ...

    @property
    def facts(self) -> KindFacts:
        """Returns the properties that other rooms decide by."""
        ...

    def completed(self, job: Job, name: str) -> TaskBase:
        """Returns the task with the defaults that depend on its other keys; `defaults` of the job are filled in."""
        ...

    def replacements(self, job: Job, name: str) -> Mapping[str, TaskBase]:
        """Returns the tasks that take the place of this one, by the ends of their names; none for most."""
        ...

    def framework(self, job: Job, name: str) -> str | None:
        """Returns the name of the framework of the task's network; None for a task without a network."""
        ...

    def engine(self, job: Job, name: str) -> str | None:
        """Returns the engine that the task asks for; None for a kind that reduces nothing."""
        ...

    def device(self, job: Job, name: str) -> DeviceName | None:
        """Returns the device that the task asks for; None for a kind without a network."""
        ...

    def sample_weights(self, job: Job, name: str) -> str | None:
        """Returns the reference of the weights that the task multiplies the losses of samples by; None for none."""
        ...

    def transforms(self, job: Job, name: str) -> Mapping[str, tuple[Transform, ...]]:
        """Returns the transforms of the samples that the task's network takes, in order, for inputs that have some.

        A task that runs the network of another one has those of the other one.
        """
        ...

    def metrics(self, job: Job, name: str) -> tuple[str, ...]:
        """Returns the metrics that replace those of the objectives; none for a kind that takes these."""
        ...

    def own_references(self, job: Job, name: str) -> Iterator[KeyedReference]:
        """Yields the arrays that the task's own keys name; the tasks that it needs may be missing."""
        ...

    def references(self, job: Job, name: str) -> Iterator[KeyedReference]:
        """Yields all arrays that the task reads, those that it inherits from the tasks it needs included."""
        ...

    def published_arrays(self, job: Job, name: str, arrays: Mapping[str, ArraySpec]) -> Mapping[str, ArraySpec]:
        """Returns the arrays that other tasks may read from this one, by name.

        Args:
            job: a sound job.
            name: name of the task.
            arrays: known arrays by reference. Without them the names are the same, and less is known of each array.
        """
        ...

    def own_checks(self, job: Job, name: str) -> Iterator[Finding]:
        """Yields problems that the task's own values show."""
        ...

    def edge_checks(self, job: Job, name: str) -> Iterator[Finding]:
        """Yields problems of the task's edges; the tasks it needs are there."""
        ...

    def network_checks(self, job: Job, name: str) -> Iterator[Finding]:
        """Yields problems of the networks that the task uses; the networks of the tasks it needs are sound."""
        ...

    def shape_checks(self, job: Job, name: str, arrays: Mapping[str, ArraySpec]) -> Iterator[Finding]:
        """Yields arrays that fit neither the task's network nor its targets."""
        ...

    def network(self, job: Job, name: str) -> NetworkDescription:
        """Returns the network that the task trains or runs.

        Raises:
            LookupError: tasks of this kind have no network.
        """
        ...

    def network_inputs(self, job: Job, name: str) -> Mapping[str, str]:
        """Returns the references of the arrays that the network takes, by the names of its inputs.

        Raises:
            LookupError: tasks of this kind have no network.
        """
        ...

    def objectives(self, job: Job, name: str) -> tuple[Objective, ...]:
        """Returns the objectives of the network; none for a kind without a network."""
        ...

    def consistency(self, job: Job, name: str) -> tuple[Consistency, ...]:
        """Returns the losses between outputs of the network; none for most tasks."""
        ...

    def placed(self, job: Job, name: str, folder: Path) -> TaskBase:
        """Returns the task with paths that are relative to the folder of the job file made absolute."""
        ...

    def earlier_run(self, job: Job, name: str) -> str | None:
        """Returns the path of the earlier run, or its artifact, that the task goes on from; None for most tasks."""
        ...

    def views(self, job: Job, name: str) -> tuple[JobView, ...]:
        """Returns one view of a sound job for each source of samples of the task; the job itself for a single one.

        Arrays of one view are read side by side, row by row; those of two views have other rows.
        """
        ...

    def weighting(self, job: Job, name: str) -> WeightingChoice | None:
        """Returns how the objectives are combined; None for the sum of their losses times their weights."""
        ...

    def turns(self, job: Job, name: str) -> Turns | None:
        """Returns how the objectives take turns; None where each step trains all of them."""
        ...

    def parameter_mappings(self, job: Job, name: str) -> tuple[ParameterMapping, ...]:
        """Returns the parameters that the task begins with instead of fresh ones."""
        ...

    def mapping_key(self, job: Job, name: str, producer: str) -> tuple[str, ...]:
        """Returns the path of the key that names the parameters taken from a producer; ``needs`` where none does."""
        ...

    def framework_needs(self, job: Job, name: str, arrays: Mapping[str, ArraySpec]) -> FrameworkNeeds:
        """Returns the parts that can be tried before the job runs."""
        ...

    def work(self, job: Job, name: str, arrays: Mapping[str, ArraySpec]) -> Work:
        """Returns the size of the task; unknown sizes of arrays are guessed."""
        ...

    def useful_ranks(self, job: Job, name: str, work: Work) -> int:
        """Returns the largest number of ranks that shortens the task."""
        ...

    def session(self, context: Any) -> Any:
        """Opens the task on a group: a `training.session.Session` from a `SessionContext`; rooms above this one."""
        ...


def kind_of(job: Job, name: str) -> TaskKind:
    """Returns the kind of a task of a job."""
    kind: TaskKind = load_kind(job.tasks[name].kind)
    return kind


def kinds_with(job: Job, fact: Callable[[KindFacts], bool]) -> str:
    """Returns the names of kinds that have a property, for a message: ``train and joint``.

    They are built-in ones and those of the job: no package is imported for a message alone.
    """
    known = dict.fromkeys([*BUILT_IN, *(task.kind for task in job.tasks.values())])
    *names, last = [name for name in known if fact(load_kind(name).facts)]
    return f"{', '.join(names)} and {last}" if names else last

"""The base of all kinds of tasks: defaults for a kind that reads nothing, publishes nothing and has no network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from hpcmtl.jobfile.kind_facts import NO_FACTS, KindFacts
from hpcmtl.jobfile.kinds import FrameworkNeeds
from hpcmtl.jobfile.tasks import TaskBase
from hpcmtl.jobfile.views import JobView

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from hpcmtl.jobfile.arrays import ArraySpec, KeyedReference
    from hpcmtl.jobfile.fields import DeviceName
    from hpcmtl.jobfile.findings import Finding
    from hpcmtl.jobfile.schema import Job
    from hpcmtl.jobfile.transforms import Transform
    from hpcmtl.jobfile.turns import Turns
    from hpcmtl.jobfile.weighting import WeightingChoice
    from hpcmtl.jobfile.work import Work
    from hpcmtl.networks.consistency import Consistency
    from hpcmtl.networks.description import NetworkDescription
    from hpcmtl.networks.objective import Objective
    from hpcmtl.networks.parameter_mapping import ParameterMapping

TaskT = TypeVar("TaskT", bound=TaskBase)


class BaseKind(Generic[TaskT]):
    """Defaults for the members of `hpcmtl.jobfile.kinds.TaskKind`, which documents them.

    A kind derives from it, names its `schema`, and overrides `work`, `session`, and the defaults that do not hold.
    """

    schema: type[TaskT]
    facts: ClassVar[KindFacts] = NO_FACTS

    @property
    def name(self) -> str:
        """Returns the value of `kind` in job files, which the schema has as a default."""
        return str(self.schema.model_fields["kind"].default)

    def task(self, job: Job, name: str) -> TaskT:
        """Returns a task of this kind, with its own type."""
        task = job.tasks[name]
        if not isinstance(task, self.schema):
            raise TypeError(f"{name} is {task.kind}, not {self.name}")
        return task

    def completed(self, job: Job, name: str) -> TaskBase:
        """See `TaskKind`."""
        return job.tasks[name]

    def replacements(self, job: Job, name: str) -> Mapping[str, TaskBase]:
        """See `TaskKind`."""
        return {}

    def framework(self, job: Job, name: str) -> str | None:
        """See `TaskKind`."""
        return None

    def engine(self, job: Job, name: str) -> str | None:
        """See `TaskKind`."""
        return None

    def device(self, job: Job, name: str) -> DeviceName | None:
        """See `TaskKind`."""
        return None

    def sample_weights(self, job: Job, name: str) -> str | None:
        """See `TaskKind`."""
        return None

    def transforms(self, job: Job, name: str) -> Mapping[str, tuple[Transform, ...]]:
        """See `TaskKind`."""
        return {}

    def metrics(self, job: Job, name: str) -> tuple[str, ...]:
        """See `TaskKind`."""
        return ()

    def own_references(self, job: Job, name: str) -> Iterator[KeyedReference]:
        """See `TaskKind`."""
        yield from ()

    def references(self, job: Job, name: str) -> Iterator[KeyedReference]:
        """See `TaskKind`."""
        yield from self.own_references(job, name)

    def published_arrays(self, job: Job, name: str, arrays: Mapping[str, ArraySpec]) -> Mapping[str, ArraySpec]:
        """See `TaskKind`."""
        return {}

    def own_checks(self, job: Job, name: str) -> Iterator[Finding]:
        """See `TaskKind`."""
        yield from ()

    def edge_checks(self, job: Job, name: str) -> Iterator[Finding]:
        """See `TaskKind`."""
        yield from ()

    def network_checks(self, job: Job, name: str) -> Iterator[Finding]:
        """See `TaskKind`."""
        yield from ()

    def shape_checks(self, job: Job, name: str, arrays: Mapping[str, ArraySpec]) -> Iterator[Finding]:
        """See `TaskKind`."""
        yield from ()

    def network(self, job: Job, name: str) -> NetworkDescription:
        """See `TaskKind`."""
        raise self._no_network(name)

    def network_inputs(self, job: Job, name: str) -> Mapping[str, str]:
        """See `TaskKind`."""
        raise self._no_network(name)

    def objectives(self, job: Job, name: str) -> tuple[Objective, ...]:
        """See `TaskKind`."""
        return ()

    def consistency(self, job: Job, name: str) -> tuple[Consistency, ...]:
        """See `TaskKind`."""
        return ()

    def placed(self, job: Job, name: str, folder: Path) -> TaskBase:
        """See `TaskKind`."""
        return job.tasks[name]

    def earlier_run(self, job: Job, name: str) -> str | None:
        """See `TaskKind`."""
        return None

    def views(self, job: Job, name: str) -> tuple[JobView, ...]:
        """See `TaskKind`."""
        return (JobView(job),)

    def weighting(self, job: Job, name: str) -> WeightingChoice | None:
        """See `TaskKind`."""
        return None

    def turns(self, job: Job, name: str) -> Turns | None:
        """See `TaskKind`."""
        return None

    def parameter_mappings(self, job: Job, name: str) -> tuple[ParameterMapping, ...]:
        """See `TaskKind`."""
        return ()

    def mapping_key(self, job: Job, name: str, producer: str) -> tuple[str, ...]:
        """See `TaskKind`."""
        return "needs", producer

    def framework_needs(self, job: Job, name: str, arrays: Mapping[str, ArraySpec]) -> FrameworkNeeds:
        """See `TaskKind`."""
        return FrameworkNeeds()

    def work(self, job: Job, name: str, arrays: Mapping[str, ArraySpec]) -> Work:
        """See `TaskKind`; each kind has its own."""
        raise NotImplementedError(f"kind {self.name} does not say how much work its tasks are")

    def useful_ranks(self, job: Job, name: str, work: Work) -> int:
        """See `TaskKind`; by default a rank needs a sample to be of use."""
        return max(work.samples, 1)

    def session(self, context: Any) -> Any:
        """See `TaskKind`; each kind has its own."""
        raise NotImplementedError(f"kind {self.name} does not say what its tasks do")

    def _no_network(self, name: str) -> LookupError:
        return LookupError(f"{name} is a {self.name} task, which has no network")

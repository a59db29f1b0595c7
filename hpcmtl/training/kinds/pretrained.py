"""Pretrained tasks: the parameters of an earlier run, as those of a task of this job."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from hpcmtl.errors import InputError
from hpcmtl.jobfile.kind_facts import KindFacts
from hpcmtl.jobfile.kinds import FrameworkNeeds
from hpcmtl.jobfile.work import Work
from hpcmtl.training.kinds.base import BaseKind
from hpcmtl.training.kinds.pretrained_schema import Pretrained

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from hpcmtl.jobfile.arrays import ArraySpec
    from hpcmtl.jobfile.findings import Finding
    from hpcmtl.jobfile.kinds import TaskKind
    from hpcmtl.jobfile.schema import Job
    from hpcmtl.jobfile.tasks import TaskBase
    from hpcmtl.networks.description import NetworkDescription
    from hpcmtl.training.artifacts.description import ArtifactDescription
    from hpcmtl.training.session import Session, SessionContext


class PretrainedKind(BaseKind[Pretrained]):
    """See `TaskKind`; all that is known of the network is in the artifact."""

    schema = Pretrained
    facts: ClassVar[KindFacts] = KindFacts(has_parameters=True)

    def framework(self, job: Job, name: str) -> str | None:
        """See `TaskKind`; None where the artifact cannot be read, which the checks report."""
        try:
            return self._description(job, name).framework
        except InputError:
            return None

    def own_checks(self, job: Job, name: str) -> Iterator[Finding]:
        """See `TaskKind`."""
        try:
            self._description(job, name)
        except InputError as error:
            yield from (((each.where,), each.message) for each in error.problems)

    def placed(self, job: Job, name: str, folder: Path) -> TaskBase:
        """See `TaskKind`."""
        task = self.task(job, name)
        return task.model_copy(update={"run": str((folder / task.run).resolve())})

    def network(self, job: Job, name: str) -> NetworkDescription:
        """See `TaskKind`."""
        found = self._description(job, name).network
        assert found is not None, "an artifact without a network is refused"
        return found

    def network_inputs(self, job: Job, name: str) -> Mapping[str, str]:
        """See `TaskKind`; the arrays of the earlier run are not those of this job."""
        return {}

    def framework_needs(self, job: Job, name: str, arrays: Mapping[str, ArraySpec]) -> FrameworkNeeds:
        """See `TaskKind`; the network is built, so that its names and shapes are compared with those of others."""
        found = self._description(job, name)
        samples = {each: given.shape for each, given in found.inputs.items()}
        return FrameworkNeeds(network=found.network, samples=samples)

    def work(self, job: Job, name: str, arrays: Mapping[str, ArraySpec]) -> Work:
        """See `TaskKind`; it copies one file."""
        from hpcmtl.training.artifacts.earlier import earlier_artifact

        task = self.task(job, name)
        return Work(1, 1, 1, earlier_artifact(task.run, task.task or name).stat().st_size, 0, trains=False)

    def useful_ranks(self, job: Job, name: str, work: Work) -> int:
        """See `TaskKind`."""
        return 1

    def session(self, context: SessionContext) -> Session:
        """See `TaskKind`."""
        from hpcmtl.training.sessions.pretrained import PretrainedSession

        return PretrainedSession(context, self.task(context.job, context.task))

    def _description(self, job: Job, name: str) -> ArtifactDescription:
        from hpcmtl.training.artifacts.earlier import earlier_description

        task = self.task(job, name)
        return earlier_description(task.run, task.task or name)


KIND: TaskKind = PretrainedKind()

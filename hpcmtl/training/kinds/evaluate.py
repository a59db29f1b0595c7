"""Evaluate tasks: metrics of a network on one split."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcmtl.training.kinds.applied import AppliedKind
from hpcmtl.training.kinds.known_names import check_metrics
from hpcmtl.training.kinds.schemas import Evaluate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hpcmtl.jobfile.arrays import KeyedReference
    from hpcmtl.jobfile.findings import Finding
    from hpcmtl.jobfile.kinds import TaskKind
    from hpcmtl.jobfile.schema import Job
    from hpcmtl.training.session import Session, SessionContext


class EvaluateKind(AppliedKind[Evaluate]):
    """See `TaskKind`."""

    schema = Evaluate

    def references(self, job: Job, name: str) -> Iterator[KeyedReference]:
        """See `TaskKind`; the targets are those of the task that trained the network."""
        yield from super().references(job, name)
        for objective in self.objectives(job, name):
            yield ("needs",), objective.target

    def own_checks(self, job: Job, name: str) -> Iterator[Finding]:
        """See `TaskKind`."""
        yield from check_metrics(("metrics",), self.task(job, name).metrics)

    def split(self, job: Job, name: str) -> str | None:
        """See `AppliedKind`."""
        return self.task(job, name).split

    def session(self, context: SessionContext) -> Session:
        """See `TaskKind`."""
        from hpcmtl.training.sessions.evaluate import EvaluateSession

        return EvaluateSession(context, self.task(context.job, context.task))


KIND: TaskKind = EvaluateKind()

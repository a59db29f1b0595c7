"""Python tasks: a callable of the user's, given its group and its inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcmtl.jobfile.kinds import FrameworkNeeds, UserCallable, kind_of
from hpcmtl.jobfile.work import Work
from hpcmtl.training.kinds.base import BaseKind
from hpcmtl.training.kinds.input_size import input_size
from hpcmtl.training.kinds.outputs import declared_arrays, output_problems
from hpcmtl.training.kinds.schemas import Python

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hpcmtl.jobfile.arrays import ArraySpec
    from hpcmtl.jobfile.findings import Finding
    from hpcmtl.jobfile.kinds import TaskKind
    from hpcmtl.jobfile.schema import Job
    from hpcmtl.training.session import Session, SessionContext


class PythonKind(BaseKind[Python]):
    """See `TaskKind`."""

    schema = Python

    def published_arrays(self, job: Job, name: str, arrays: Mapping[str, ArraySpec]) -> Mapping[str, ArraySpec]:
        """See `TaskKind`; only running the callable shows the number of samples, and all that is not declared."""
        return declared_arrays(self.task(job, name).outputs)

    def own_checks(self, job: Job, name: str) -> Iterator[Finding]:
        """See `TaskKind`."""
        yield from output_problems(self.task(job, name).outputs)

    def framework_needs(self, job: Job, name: str, arrays: Mapping[str, ArraySpec]) -> FrameworkNeeds:
        """See `TaskKind`."""
        called = UserCallable("callable", self.task(job, name).callable, ("the context of the task",))
        return FrameworkNeeds(callables=(called,))

    def work(self, job: Job, name: str, arrays: Mapping[str, ArraySpec]) -> Work:
        """See `TaskKind`; it is one step, and may read all arrays of the tasks that it needs for data."""
        needs = self.task(job, name).needs
        producers = [producer for producer, need in needs.items() if need.kind in {"data", "compute"}]
        references = [
            f"{producer}/{array}"
            for producer in producers
            for array in kind_of(job, producer).published_arrays(job, producer, {})
        ]
        rows, sample_bytes = input_size(references, arrays)
        return Work(rows, 1, max(rows, 1), sample_bytes, 0, trains=False, opaque=True)

    def useful_ranks(self, job: Job, name: str, work: Work) -> int:
        """See `TaskKind`; only the author of a callable knows how it scales."""
        ranks = self.task(job, name).ranks
        return ranks.max or ranks.min

    def session(self, context: SessionContext) -> Session:
        """See `TaskKind`."""
        from hpcmtl.training.sessions.python import PythonSession

        return PythonSession(context, self.task(context.job, context.task))


KIND: TaskKind = PythonKind()

"""A task kind as a package of its own would have it: sums over the last axis of every sample."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from hpcmtl.jobfile.arrays import UNKNOWN, ArraySpec
from hpcmtl.jobfile.fields import Reference
from hpcmtl.jobfile.tasks import TaskBase
from hpcmtl.jobfile.work import Work
from hpcmtl.training.kinds.base import BaseKind
from hpcmtl.training.kinds.input_size import input_size

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hpcmtl.jobfile.arrays import KeyedReference
    from hpcmtl.jobfile.findings import Finding
    from hpcmtl.jobfile.kinds import TaskKind
    from hpcmtl.jobfile.schema import Job
    from hpcmtl.training.session import Session, SessionContext


class RowSums(TaskBase):
    """Sums over the last axis of every sample, as the array `sums`."""

    kind: Literal["row_sums"] = "row_sums"
    input: Reference
    factor: float = Field(default=1.0, gt=0, description="multiplies the sums")


class RowSumsKind(BaseKind[RowSums]):
    """See `TaskKind`."""

    schema = RowSums

    def own_references(self, job: Job, name: str) -> Iterator[KeyedReference]:
        """See `TaskKind`."""
        yield ("input",), self.task(job, name).input

    def own_checks(self, job: Job, name: str) -> Iterator[Finding]:
        """See `TaskKind`."""
        if self.task(job, name).factor > 1e30:
            yield ("factor",), "the sums would be beyond float32; write a smaller number"

    def shape_checks(self, job: Job, name: str, arrays: Mapping[str, ArraySpec]) -> Iterator[Finding]:
        """See `TaskKind`."""
        reference = self.task(job, name).input
        if arrays.get(reference, UNKNOWN).shape == ():
            yield ("input",), f"{reference} has samples without an axis to sum over"

    def published_arrays(self, job: Job, name: str, arrays: Mapping[str, ArraySpec]) -> Mapping[str, ArraySpec]:
        """See `TaskKind`."""
        read = arrays.get(self.task(job, name).input, UNKNOWN)
        shape = None if read.shape is None else read.shape[:-1]
        return {"sums": ArraySpec(read.samples, shape, split=read.split)}

    def work(self, job: Job, name: str, arrays: Mapping[str, ArraySpec]) -> Work:
        """See `TaskKind`; all samples are one step."""
        rows, sample_bytes = input_size([self.task(job, name).input], arrays)
        return Work(rows, 1, max(rows, 1), sample_bytes, 0, trains=False)

    def session(self, context: SessionContext) -> Session:
        """See `TaskKind`."""
        from outside_session import RowSumsSession

        return RowSumsSession(context, self.task(context.job, context.task))


KIND: TaskKind = RowSumsKind()

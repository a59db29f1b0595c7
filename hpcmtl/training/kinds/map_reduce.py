"""Map-reduce tasks: a value of all rows of an array, computed in parallel, such as a mean or a vocabulary."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcmtl.jobfile.kinds import FrameworkNeeds, UserCallable
from hpcmtl.jobfile.work import Work
from hpcmtl.training.kinds.base import BaseKind
from hpcmtl.training.kinds.input_size import input_size
from hpcmtl.training.kinds.outputs import declared_arrays, output_problems
from hpcmtl.training.kinds.schemas import MapReduce

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hpcmtl.jobfile.arrays import ArraySpec, KeyedReference
    from hpcmtl.jobfile.findings import Finding
    from hpcmtl.jobfile.kinds import TaskKind
    from hpcmtl.jobfile.schema import Job
    from hpcmtl.training.session import Session, SessionContext


class MapReduceKind(BaseKind[MapReduce]):
    """See `TaskKind`."""

    schema = MapReduce

    def own_references(self, job: Job, name: str) -> Iterator[KeyedReference]:
        """See `TaskKind`."""
        yield ("input",), self.task(job, name).input

    def published_arrays(self, job: Job, name: str, arrays: Mapping[str, ArraySpec]) -> Mapping[str, ArraySpec]:
        """See `TaskKind`; only running the functions shows what is not declared."""
        return declared_arrays(self.task(job, name).outputs)

    def own_checks(self, job: Job, name: str) -> Iterator[Finding]:
        """See `TaskKind`."""
        yield from output_problems(self.task(job, name).outputs)

    def framework_needs(self, job: Job, name: str, arrays: Mapping[str, ArraySpec]) -> FrameworkNeeds:
        """See `TaskKind`."""
        task = self.task(job, name)
        called = [
            UserCallable("map", task.map, ("the rows of a block", "their numbers")),
            UserCallable("reduce", task.reduce, ("a value", "the value of later rows")),
        ]
        if task.finish is not None:
            called.append(UserCallable("finish", task.finish, ("the value of all rows",)))
        return FrameworkNeeds(callables=tuple(called))

    def work(self, job: Job, name: str, arrays: Mapping[str, ArraySpec]) -> Work:
        """See `TaskKind`; it is one step, so that the task has one layer."""
        task = self.task(job, name)
        rows, sample_bytes = input_size([task.input], arrays, task.split)
        return Work(rows, 1, max(rows, 1), sample_bytes, 0, trains=False)

    def useful_ranks(self, job: Job, name: str, work: Work) -> int:
        """See `TaskKind`; a rank needs a block to be of use."""
        return max(-(-work.samples // self.task(job, name).block), 1)

    def session(self, context: SessionContext) -> Session:
        """See `TaskKind`."""
        from hpcmtl.training.sessions.map_reduce import MapReduceSession

        return MapReduceSession(context, self.task(context.job, context.task))


KIND: TaskKind = MapReduceKind()

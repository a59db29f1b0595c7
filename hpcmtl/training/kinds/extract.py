"""Extract tasks: the output of one part of a network for every sample, as the array `values`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hpcmtl.jobfile.arrays import ArraySpec
from hpcmtl.networks.description import Part, output_shape, parts_of
from hpcmtl.training.kinds.applied import AppliedKind
from hpcmtl.training.kinds.fit import check_part
from hpcmtl.training.kinds.input_arrays import rows_of_inputs, sample_shapes, tells_tokens
from hpcmtl.training.kinds.schemas import Extract

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hpcmtl.jobfile.findings import Finding
    from hpcmtl.jobfile.kinds import FrameworkNeeds, TaskKind
    from hpcmtl.jobfile.schema import Job
    from hpcmtl.networks.description import NetworkDescription
    from hpcmtl.training.session import Session, SessionContext


class ExtractKind(AppliedKind[Extract]):
    """See `TaskKind`."""

    schema = Extract

    def published_arrays(self, job: Job, name: str, arrays: Mapping[str, ArraySpec]) -> Mapping[str, ArraySpec]:
        """See `TaskKind`."""
        inputs = self.network_inputs(job, name)
        samples, rows = sample_shapes(inputs, arrays), rows_of_inputs(inputs, arrays)
        part = Part(self.network(job, name), self.task(job, name).output)
        shape = None if samples is None else output_shape(part, samples)
        return {"values": ArraySpec(rows.samples, shape, split=rows.split, ragged=tells_tokens(inputs, arrays, shape))}

    def network_checks(self, job: Job, name: str) -> Iterator[Finding]:
        """See `TaskKind`."""
        yield from check_part(("output",), self.network(job, name), self.task(job, name).output)

    def framework_needs(self, job: Job, name: str, arrays: Mapping[str, ArraySpec]) -> FrameworkNeeds:
        """See `TaskKind`."""
        return replace(super().framework_needs(job, name, arrays), part=self.task(job, name).output)

    def run_network(self, job: Job, name: str) -> NetworkDescription:
        """See `AppliedKind`."""
        network, part = self.network(job, name), self.task(job, name).output
        return Part(network, part) if part in (parts_of(network) or ()) else network

    def session(self, context: SessionContext) -> Session:
        """See `TaskKind`."""
        from hpcmtl.training.sessions.extract import ExtractSession

        return ExtractSession(context, self.task(context.job, context.task))


KIND: TaskKind = ExtractKind()

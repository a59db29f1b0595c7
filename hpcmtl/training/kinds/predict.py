"""Predict tasks: the outputs of a network for every sample, one array an objective."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcmtl.jobfile.arrays import ArraySpec
from hpcmtl.networks.description import objective_shapes
from hpcmtl.training.kinds.applied import AppliedKind
from hpcmtl.training.kinds.input_arrays import rows_of_inputs, sample_shapes, tells_tokens
from hpcmtl.training.kinds.schemas import Predict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hpcmtl.jobfile.kinds import TaskKind
    from hpcmtl.jobfile.schema import Job
    from hpcmtl.networks.shapes import Shape
    from hpcmtl.training.session import Session, SessionContext


class PredictKind(AppliedKind[Predict]):
    """See `TaskKind`."""

    schema = Predict

    def published_arrays(self, job: Job, name: str, arrays: Mapping[str, ArraySpec]) -> Mapping[str, ArraySpec]:
        """See `TaskKind`."""
        inputs = self.network_inputs(job, name)
        samples, rows = sample_shapes(inputs, arrays), rows_of_inputs(inputs, arrays)
        shapes: dict[str, Shape | None] = {objective.name: None for objective in self.objectives(job, name)}
        if samples is not None:
            shapes |= objective_shapes(self.network(job, name), samples)
        tokens = {objective.name for objective in self.objectives(job, name) if objective.per_token}
        return {
            key: ArraySpec(
                rows.samples, shape, split=rows.split, ragged=key in tokens and tells_tokens(inputs, arrays, shape)
            )
            for key, shape in shapes.items()
        }

    def session(self, context: SessionContext) -> Session:
        """See `TaskKind`."""
        from hpcmtl.training.sessions.predict import PredictSession

        return PredictSession(context, self.task(context.job, context.task))


KIND: TaskKind = PredictKind()

"""The sample weights that the metrics of a task need."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcmtl.jobfile.kinds import kind_of
from hpcmtl.jobfile.metrics import takes_weights
from hpcmtl.training.kinds.applied import AppliedKind

if TYPE_CHECKING:
    from hpcmtl.jobfile.schema import Job


def weights_of(job: Job, name: str) -> str | None:
    """Returns the reference of the sample weights that the metrics of a task need; None if none needs any."""
    kind = kind_of(job, name)
    objectives, asked = kind.objectives(job, name), kind.metrics(job, name)
    if any(takes_weights(metric) for each in objectives for metric in asked or each.metrics):
        return given_weights(job, name)
    return None


def given_weights(job: Job, name: str) -> str | None:
    """Returns the reference of the sample weights that a network was trained with; None for none."""
    kind = kind_of(job, name)
    assert isinstance(kind, AppliedKind), "it runs a network"
    producer = kind.applied_to(job, name)
    return kind_of(job, producer).sample_weights(kind.trained_job(job, name), producer)

"""Sections of the job file that say how a job is run, beside its tasks."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from hpcmtl.jobfile.fields import ByteSize
from hpcmtl.networks.models import Spec


class Layers(Spec):
    """How tasks are cut into layers."""

    policy: Literal["variable", "fixed"] = "variable"
    quantum: ByteSize = Field(default=4 * 2**20, description="variable: input bytes a layer, e.g. 4MiB")
    max_layers: int = Field(default=8, ge=1)
    count: int = Field(default=2, ge=1, description="fixed: layers of every task")


class Checkpoints(Spec):
    """How often the states of training tasks are saved inside their layers; they always are at the ends of layers."""

    interval: Annotated[float, Field(gt=0)] | Literal["auto"] = Field(
        default="auto", description="seconds, or `auto`: by what a checkpoint costs and how often jobs are cut off"
    )
    mtbf_hours: float = Field(default=24.0, gt=0, description="auto: hours between two failures, in the mean")

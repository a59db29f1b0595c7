"""Sections of the job file for the run of a job: task layers and checkpoints."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from hpcmtl.jobfile.fields import ByteSize
from hpcmtl.networks.bounds import MOST_LAYERS
from hpcmtl.networks.spec import Spec


class Layers(Spec):
    """The rule that cuts tasks into layers."""

    policy: Literal["variable", "fixed"] = "variable"
    quantum: ByteSize = Field(default=4 * 2**20, description="variable: input bytes a layer, e.g. 4MiB")
    max_layers: int = Field(default=8, ge=1, le=MOST_LAYERS)
    count: int = Field(default=2, ge=1, le=MOST_LAYERS, description="fixed: layers of every task")


class Checkpoints(Spec):
    """The interval of checkpoints inside the layers of training tasks; the end of a layer always has one."""

    interval: Annotated[float, Field(gt=0)] | Literal["auto"] = Field(
        default="auto", description="seconds, or `auto`: from the cost of a checkpoint and the rate of failures"
    )
    mtbf_hours: float = Field(default=24.0, gt=0, description="auto: mean hours between two failures")

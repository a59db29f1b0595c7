"""Keys of a joint task that say in which order its objectives are trained."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from hpcmtl.jobfile.fields import Name
from hpcmtl.networks.spec import Spec

Share = Annotated[float, Field(gt=0)]


class ModeKeys(Spec):
    """Keys that share out the steps of a joint task among its heads."""

    mode: Literal["joint", "alternate", "serial", "separate"] = Field(
        default="joint",
        description="joint: all heads in each step; alternate: one head a step; serial: one head after the other; "
        "separate: a task of its own for each head",
    )
    turns: Literal["round_robin", "proportional"] | dict[Name, Share] | None = Field(
        default=None,
        description="with alternate: round_robin (the default), proportional (to the samples with a label), or "
        "head -> share of the steps; with serial: head -> share of the epochs (default: equal)",
    )

"""The key `weighting` of joint tasks: how the losses or gradients of the objectives are combined."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from hpcmtl.networks.bounds import MOST
from hpcmtl.networks.spec import Spec

GradientsAt = Literal["shared", "last_shared_layer", "features"]
"""Where a weighting measures gradients: by all shared parameters, by those of the last shared layer of the network, or
by the output of the trunk."""


class GradientMeasuring(Spec):
    """Says how a weighting by gradients measures them: exactly at each step, or in a way that costs less."""

    every: int = Field(1, ge=1, le=MOST, description="steps from one renewal of the weights to the next")
    gradients_at: GradientsAt = Field(
        "shared", description="parameters or features whose gradients are compared; all but `shared` are inexact"
    )
    biased: bool = Field(default=False, description="mean of the Gramians of the ranks, which is inexact")

    @property
    def inexact(self) -> str:
        """Says what is not exact: keys and values of the job file; empty if nothing is."""
        at = "" if self.gradients_at == "shared" else f"gradients_at: {self.gradients_at}"
        return "biased: true" if self.biased else at


class WeightingChoice(GradientMeasuring):
    """A weighting by name, with options of its own."""

    name: str
    options: dict[str, Any] = Field(default={}, description="options of the weighting, e.g. c of cagrad")


def _named(value: Any) -> Any:
    """Turns a name alone into a choice without options."""
    return {"name": value} if isinstance(value, str) else value


WeightingKey = Annotated[WeightingChoice, BeforeValidator(_named)]

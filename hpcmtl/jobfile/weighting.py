"""The key `weighting` of joint tasks: how the losses or gradients of the objectives are combined."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from hpcmtl.networks.spec import Spec


class WeightingChoice(Spec):
    """A weighting by name, with options of its own."""

    name: str
    options: dict[str, Any] = Field(default={}, description="options of the weighting, e.g. c of cagrad")


def _named(value: Any) -> Any:
    """Turns a name alone into a choice without options."""
    return {"name": value} if isinstance(value, str) else value


WeightingKey = Annotated[WeightingChoice, BeforeValidator(_named)]

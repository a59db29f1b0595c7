"""Keys of joint tasks whose heads take outputs of each other, or must agree."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from hpcmtl.errors import nearest
from hpcmtl.jobfile.fields import Name
from hpcmtl.networks.bounds import MOST
from hpcmtl.networks.consistency import DISTANCES
from hpcmtl.networks.coupled_heads import TRUNK, GradientRule
from hpcmtl.networks.spec import Spec


class HeadInputKeys(Spec):
    """The keys that say what a head takes."""

    inputs: Annotated[tuple[Name, ...], Field(min_length=1)] | None = Field(
        default=None, description="outputs that the head takes: trunk, and other heads; default: that of the trunk"
    )
    gradient: GradientRule | None = Field(
        default=None, description="whether its loss trains the heads among `inputs`: pass (the default) or stop"
    )

    @model_validator(mode="after")
    def _inputs_once(self) -> HeadInputKeys:
        given = self.inputs or ()
        if len(set(given)) < len(given):
            raise ValueError(f"found `inputs: [{', '.join(given)}]`; name each once")
        if self.gradient is not None and not set(given) - {TRUNK}:
            raise ValueError("`gradient` is that of other heads among `inputs`, and there are none; leave it out")
        return self


def _distance(value: str) -> str:
    if value in DISTANCES or ":" in value:
        return value
    listed = ", ".join(DISTANCES)
    raise ValueError(
        f"{value!r} is no consistency loss{nearest(value, DISTANCES)}; write {listed} or package.module:attribute"
    )


_Row = Annotated[tuple[Annotated[float, Field(allow_inf_nan=False)], ...], Field(min_length=1)]
_Class = Annotated[int, Field(ge=0, le=MOST)]


class ConsistencyKeys(Spec):
    """A loss between the outputs of two heads."""

    heads: tuple[Name, Name] = Field(description="the two heads; `map` is from the first to the second")
    loss: Annotated[str, AfterValidator(_distance)] = Field(
        description="kl, js or l2, or package.module:attribute, which gets the outputs of both heads"
    )
    map: Annotated[tuple[_Class, ...] | tuple[_Row, ...], Field(min_length=1)] | None = Field(
        default=None,
        description="class of the second head for each class of the first, or a matrix with a row for each of them",
    )
    weight: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    stop_gradient: Name | None = Field(
        default=None, description="the one of `heads` that gets no gradient of this loss"
    )
    samples: Literal["all", "unlabelled"] = Field(
        default="all", description="samples that count: all, or those without a label of one of the heads"
    )

    @model_validator(mode="after")
    def _fitting(self) -> ConsistencyKeys:
        if self.heads[0] == self.heads[1]:
            raise ValueError(f"{self.heads[0]} always agrees with itself; name two heads")
        if self.stop_gradient is not None and self.stop_gradient not in self.heads:
            raise ValueError(
                f"`stop_gradient: {self.stop_gradient}` is none of its heads; write {' or '.join(self.heads)}"
            )
        if self.map is not None and ":" in self.loss:
            raise ValueError(f"{self.loss} gets the outputs of both heads as they are; leave `map` out")
        lengths = {len(row) for row in self.map or () if isinstance(row, tuple)}
        if len(lengths) > 1:
            raise ValueError(
                f"the rows of `map` have {' and '.join(map(str, sorted(lengths)))} numbers; give all as many"
            )
        return self


class CoupledHeadsKeys(Spec):
    """The keys of a joint task about heads that must agree."""

    consistency: dict[Name, ConsistencyKeys] = Field(
        default={}, description="losses between heads that must agree: name -> heads, loss, map"
    )

"""The model of the zoo that takes several inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag

from hpcmtl.networks.bounds import MOST
from hpcmtl.networks.input_values import INPUT, InputName, InputValues
from hpcmtl.networks.models import ConvNet, EmbeddingRnn, Mlp, Widths, dense_size
from hpcmtl.networks.spec import Spec, tag_of_name

if TYPE_CHECKING:
    from hpcmtl.networks.shapes import InputShapes, NetworkSize, Shape

Encoder = Annotated[
    Annotated[Mlp, Tag("mlp")] | Annotated[ConvNet, Tag("convnet")] | Annotated[EmbeddingRnn, Tag("embedding_rnn")],
    Discriminator(tag_of_name),
]
"""Models of one input whose output is a vector."""


def _sorted(encoders: dict[str, Any]) -> dict[str, Any]:
    """Returns encoders in the order of their names: that of a mapping is lost where it is written with sorted keys."""
    for name, each in encoders.items():
        if getattr(each, "per_token", False):
            raise ValueError(f"the encoder of {name} has an output for each token, but one vector a sample is joined")
    return dict(sorted(encoders.items()))


class Fusion(Spec):
    """An encoder for each input, by its name: their outputs are joined, then come dense layers as in `mlp`.

    The joined vector has the outputs of the encoders in the order of their names, after the activation.
    """

    name: Literal["fusion"] = "fusion"
    encoders: Annotated[dict[InputName, Encoder], AfterValidator(_sorted)] = Field(
        min_length=1, description="name of an input -> model of its encoder"
    )
    widths: Widths = ()
    outputs: int = Field(gt=0, le=MOST)
    activation: Literal["relu", "tanh", "sigmoid"] = "relu"
    dropout: float = Field(default=0.0, ge=0, lt=1)

    @property
    def input_names(self) -> tuple[str, ...]:
        """See `NetworkShape`."""
        return tuple(self.encoders)

    @property
    def joined(self) -> int:
        """Returns the number of values of the joined vector."""
        return sum(each.outputs for each in self.encoders.values())

    @property
    def joins_columns(self) -> bool:
        """Returns whether an encoder gives a single value to the joined vector."""
        return any(each.outputs == 1 for each in self.encoders.values())

    @property
    def parts(self) -> tuple[str, ...]:
        """Returns the parts that `extract` or `joint` may name."""
        return ("body",)

    def input_values(self, name: str) -> InputValues:
        """See `NetworkShape`."""
        return self.encoders[name].input_values(INPUT) if name in self.encoders else InputValues()

    def takes_any_length(self, name: str) -> bool:
        """See `NetworkShape`."""
        return name in self.encoders and self.encoders[name].takes_any_length(INPUT)

    def output_shape(self, samples: InputShapes, part: str | None = None) -> Shape | None:
        """See `NetworkShape`."""
        for name, encoder in self.encoders.items():
            encoder.output_shape({INPUT: samples[name]})
        if part == "body":
            return (self.widths[-1] if self.widths else self.joined,)
        return (self.outputs,)

    def size(self, samples: InputShapes, part: str | None = None) -> NetworkSize:
        """See `NetworkShape`."""
        dense = dense_size(self.joined, self.widths if part == "body" else (*self.widths, self.outputs))
        return dense.plus(*(each.size({INPUT: samples[name]}) for name, each in self.encoders.items()))

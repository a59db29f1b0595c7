"""Shapes of the samples that networks take and make, and the sizes of networks; of ONE sample (no batch axis)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from hpcmtl.networks.input_values import INPUT, InputValues

Shape = tuple[int, ...]
InputShapes = Mapping[str, Shape]
"""Name of an input of a network -> shape of one of its samples."""


class ShapeError(ValueError):
    """Reports samples of a shape that a network cannot take; the message names the shape that it takes."""


class NetworkSize(NamedTuple):
    """The size of a network.

    Attributes:
        parameters: trainable scalars.
        multiplications: multiplications of a forward pass over one sample.
    """

    parameters: int
    multiplications: int

    def plus(self, *others: NetworkSize) -> NetworkSize:
        """Returns the size of several networks together."""
        return NetworkSize(*(sum(column) for column in zip(self, *others, strict=True)))


class NetworkShape(Protocol):
    """The facts about a network that checks and planning use."""

    @property
    def input_names(self) -> tuple[str, ...] | None:
        """Returns the names of the inputs that the network takes; None where only building it shows them."""
        ...

    def input_values(self, name: str) -> InputValues:
        """Returns the values of the samples that the network takes at one of its inputs."""
        ...

    def takes_any_length(self, name: str) -> bool:
        """Returns whether samples of an input may differ in length from those for which the network is built."""
        ...

    def output_shape(self, samples: InputShapes, part: str | None = None) -> Shape | None:
        """Returns the shape of one sample after the network or one part; None where only running it shows it."""
        ...

    def size(self, samples: InputShapes, part: str | None = None) -> NetworkSize | None:
        """Returns the size of the network or one part for such samples; None where only building it shows it."""
        ...


def shapes_text(samples: InputShapes) -> str:
    """Returns the shapes of samples for a message, with the names of inputs that have one."""
    return " and ".join(f"{shape}" if name == INPUT else f"{shape} ({name})" for name, shape in samples.items())


def only_input(samples: InputShapes) -> Shape:
    """Returns the shape of the samples of a model that takes one input; checks of names come before."""
    return samples[INPUT]

"""Cells of the graphs of architectures: networks, gates, mixtures, stitches, attention."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hpcmtl.networks.branch_graph import named_shapes, one_shape
from hpcmtl.networks.description import output_shape, size_of
from hpcmtl.networks.shapes import NetworkSize

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcmtl.networks.description import NetworkDescription
    from hpcmtl.networks.shapes import InputShapes, Shape

NOTHING = NetworkSize(0, 0)
_IMAGE_AXES = 3


class TakesInputs:
    """Base of the cells that take inputs by name; see `Cell`."""

    @property
    def takes_inputs(self) -> bool:
        """See `Cell`."""
        return True


class TakesValues:
    """Base of the cells that take values of other nodes, in order; see `Cell`."""

    @property
    def takes_inputs(self) -> bool:
        """See `Cell`."""
        return False


@dataclass(frozen=True)
class NetworkCell(TakesInputs):
    """A whole network."""

    network: NetworkDescription

    def output_shape(self, inputs: InputShapes, values: Sequence[Shape | None]) -> Shape | None:
        """See `Cell`."""
        given = named_shapes(inputs, values)
        return None if given is None else output_shape(self.network, given)

    def size(self, inputs: InputShapes, values: Sequence[Shape | None]) -> NetworkSize:
        """See `Cell`."""
        given = named_shapes(inputs, values)
        return NOTHING if given is None else size_of(self.network, given)


@dataclass(frozen=True, kw_only=True)
class LayersCell(TakesValues):
    """Some layers of a network of the zoo, which is built for the inputs of the whole; see `stages`.

    Attributes:
        network: the network.
        start: number of its first layer here.
        stop: number behind its last layer here.
        made: shape of the output.
        counted: size of these layers.
    """

    network: NetworkDescription
    start: int
    stop: int
    made: Shape
    counted: NetworkSize

    def output_shape(self, inputs: InputShapes, values: Sequence[Shape | None]) -> Shape | None:  # noqa: ARG002 - the seam's form
        """See `Cell`."""
        return self.made

    def size(self, inputs: InputShapes, values: Sequence[Shape | None]) -> NetworkSize:  # noqa: ARG002 - as above
        """See `Cell`."""
        return self.counted


@dataclass(frozen=True)
class GateCell(TakesInputs):
    """Softmax of a linear map of flattened inputs, without a bias: a weight for each of several values."""

    outputs: int

    def output_shape(self, inputs: InputShapes, values: Sequence[Shape | None]) -> Shape | None:  # noqa: ARG002 - the seam's form
        """See `Cell`."""
        return (self.outputs,)

    def size(self, inputs: InputShapes, values: Sequence[Shape | None]) -> NetworkSize:
        """See `Cell`."""
        given = named_shapes(inputs, values) or {}
        weights = self.outputs * sum(map(math.prod, given.values()))
        return NetworkSize(weights, weights)


@dataclass(frozen=True, kw_only=True)
class SelectorCell(TakesInputs):
    """Weights of values of which at most some are not 0, by binary codes and a smooth step (DSelect-k).

    Attributes:
        outputs: number of the values, a power of two.
        chosen: most values that are chosen.
        gamma: width of the smooth step.
        by_input: whether codes and weights are linear maps of flattened inputs, or parameters.
    """

    outputs: int
    chosen: int
    gamma: float
    by_input: bool

    @property
    def bits(self) -> int:
        """Returns the number of binary digits of the number of a value."""
        return self.outputs.bit_length() - 1

    def output_shape(self, inputs: InputShapes, values: Sequence[Shape | None]) -> Shape | None:  # noqa: ARG002 - the seam's form
        """See `Cell`."""
        return (self.outputs,)

    def size(self, inputs: InputShapes, values: Sequence[Shape | None]) -> NetworkSize:
        """See `Cell`."""
        rows = self.chosen * (self.bits + 1)
        if not self.by_input:
            return NetworkSize(rows, self.chosen * self.outputs * self.bits)
        weights = rows * (sum(map(math.prod, (named_shapes(inputs, values) or {}).values())) + 1)
        return NetworkSize(weights, weights + self.chosen * self.outputs * self.bits)


@dataclass(frozen=True)
class MixtureCell(TakesValues):
    """Sum of values, times the weights that come first."""

    def output_shape(self, inputs: InputShapes, values: Sequence[Shape | None]) -> Shape | None:  # noqa: ARG002 - the seam's form
        """See `Cell`."""
        return one_shape(values[1:], "experts")

    def size(self, inputs: InputShapes, values: Sequence[Shape | None]) -> NetworkSize:
        """See `Cell`."""
        made = self.output_shape(inputs, values)
        return NetworkSize(0, 0 if made is None else (len(values) - 1) * math.prod(made))


@dataclass(frozen=True, kw_only=True)
class StitchCell(TakesValues):
    """Sum of values, times learned weights.

    Attributes:
        initial: initial weight of each value.
        by_channel: whether each channel has weights of its own: the first axis of images, the last one of others.
    """

    initial: tuple[float, ...]
    by_channel: bool

    def channels(self, made: Shape) -> int:
        """Returns the number of weights of each value."""
        return (made[0] if len(made) == _IMAGE_AXES else made[-1]) if self.by_channel else 1

    def output_shape(self, inputs: InputShapes, values: Sequence[Shape | None]) -> Shape | None:  # noqa: ARG002 - the seam's form
        """See `Cell`."""
        return one_shape(values, "stages")

    def size(self, inputs: InputShapes, values: Sequence[Shape | None]) -> NetworkSize:
        """See `Cell`."""
        made = self.output_shape(inputs, values)
        return (
            NOTHING if made is None else NetworkSize(len(values) * self.channels(made), len(values) * math.prod(made))
        )


@dataclass(frozen=True)
class AttentionCell(TakesValues):
    """First value times a mask: the sigmoid of a layer of a hidden layer of all values, pixel by pixel."""

    def output_shape(self, inputs: InputShapes, values: Sequence[Shape | None]) -> Shape | None:  # noqa: ARG002 - the seam's form
        """See `Cell`."""
        return one_shape(values, "stages")

    def size(self, inputs: InputShapes, values: Sequence[Shape | None]) -> NetworkSize:
        """See `Cell`."""
        made = self.output_shape(inputs, values)
        if made is None:
            return NOTHING
        width, pixels = made[0], math.prod(made[1:])
        weights = (len(values) + 1) * width * width
        return NetworkSize(weights + 2 * width, (weights + width) * pixels)


@dataclass(frozen=True, kw_only=True)
class ProjectionCell(TakesValues):
    """A layer with rectified outputs: a 'same' convolution of an image, or a dense layer.

    Attributes:
        outputs: number of its channels or outputs.
        kernel: size of the kernel; None for a dense layer, before which values are flattened.
    """

    outputs: int
    kernel: int | None

    def output_shape(self, inputs: InputShapes, values: Sequence[Shape | None]) -> Shape | None:  # noqa: ARG002 - the seam's form
        """See `Cell`."""
        given = values[0]
        return (self.outputs, *given[1:]) if self.kernel is not None and given is not None else (self.outputs,)

    def size(self, inputs: InputShapes, values: Sequence[Shape | None]) -> NetworkSize:  # noqa: ARG002 - the seam's form
        """See `Cell`."""
        given = values[0] or ()
        if self.kernel is None:
            weights = math.prod(given) * self.outputs
            return NetworkSize(weights + self.outputs, weights)
        weights = given[0] * self.outputs * self.kernel**2
        return NetworkSize(weights + self.outputs, weights * math.prod(given[1:]))


@dataclass(frozen=True)
class CodeCell(TakesValues):
    """The code of a head: one value as it is."""

    def output_shape(self, inputs: InputShapes, values: Sequence[Shape | None]) -> Shape | None:  # noqa: ARG002 - the seam's form
        """See `Cell`."""
        return values[0]

    def size(self, inputs: InputShapes, values: Sequence[Shape | None]) -> NetworkSize:  # noqa: ARG002 - as above
        """See `Cell`."""
        return NOTHING

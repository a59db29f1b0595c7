"""Descriptions of the networks that a job file can name: options, parts, output shapes, parameter counts.

Pure Python, so that a login node without a framework can check shapes and predict work; each framework builds them.
Shapes are those of ONE sample (no batch axis).
"""

from __future__ import annotations

import itertools
import math
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from hpcmtl.networks.bounds import MOST
from hpcmtl.networks.input_values import FLOATS, INPUT, InputName, InputValues
from hpcmtl.networks.shapes import InputShapes, NetworkSize, Shape, ShapeError, only_input
from hpcmtl.networks.spec import Spec


def _odd(kernel: int) -> int:
    """Refuses an even kernel: a 'same' convolution with one shifts the image or changes its size."""
    if kernel % 2 == 0:
        raise ValueError(f"a kernel is odd; found {kernel}, write {kernel - 1} or {kernel + 1}")
    return kernel


Widths = tuple[Annotated[int, Field(gt=0, le=MOST)], ...]
InputType = Literal["float", "integer"]
Kernel = Annotated[int, Field(gt=0, le=MOST), AfterValidator(_odd)]


GATES = {"gru": 3, "lstm": 4}
"""Number of gates of a recurrent cell: each has weights of its own."""
_FEW = 4  # most channels of an image: red, green, blue and opacity


def dense_size(inputs: int, widths: Widths) -> NetworkSize:
    """Returns the size of a chain of dense layers."""
    layers = list(itertools.pairwise((inputs, *widths)))
    return NetworkSize(sum(a * b + b for a, b in layers), sum(a * b for a, b in layers))


def _convolution(inputs: int, outputs: int, kernel: int, pixels: int) -> NetworkSize:
    """Returns the size of a 'same' convolution of an image with a number of pixels."""
    weights = inputs * outputs * kernel * kernel
    return NetworkSize(weights + outputs, weights * pixels)


def _images(name: str, samples: InputShapes) -> tuple[int, int, int]:
    sample = only_input(samples)
    if len(sample) != 3:
        raise ShapeError(f"{name} takes images of shape (channels, height, width), not samples of shape {sample}")
    channels, height, width = sample
    # A square image whose channels come last; (12, 1000, 1) and (8, 64, 3) are signals of several channels.
    if channels == height > _FEW and width in {1, 3, _FEW}:
        text = f"{name} takes images of shape (channels, height, width); samples of shape {sample} look as if"
        raise ShapeError(f"{text} their channels came last: write the file with np.moveaxis(images, -1, 1)")
    return sample


def _convolutions(sample: tuple[int, int, int], channels: Widths, kernel: int) -> tuple[NetworkSize, Shape]:
    """Returns size and output shape of 'same' convolutions, each followed by 2x2 pooling (rounded up)."""
    inputs, height, width = sample
    size = NetworkSize(0, 0)
    for outputs in channels:
        size = size.plus(_convolution(inputs, outputs, kernel, height * width))
        inputs, height, width = outputs, (height + 1) // 2, (width + 1) // 2
    return size, (inputs, height, width)


class _OneInput(Spec):
    """Base of the models that take one input, of numbers, whose samples have one length."""

    def takes_any_length(self, name: str) -> bool:  # noqa: ARG002 - the seam's form
        """See `NetworkShape`."""
        return False

    @property
    def input_names(self) -> tuple[str, ...]:
        """See `NetworkShape`."""
        return (INPUT,)

    def input_values(self, name: str) -> InputValues:  # noqa: ARG002 - the seam's form
        """See `NetworkShape`."""
        return FLOATS


class Mlp(_OneInput):
    """Dense layers on flattened samples: `widths` hidden layers, then `outputs` values.

    With `per_token` they are applied to each token by itself: samples (length, width) have `outputs` values a token.
    """

    name: Literal["mlp"] = "mlp"
    widths: Widths = ()
    outputs: int = Field(gt=0, le=MOST)
    activation: Literal["relu", "tanh", "sigmoid"] = "relu"
    dropout: float = Field(default=0.0, ge=0, lt=1)
    per_token: bool = False

    def takes_any_length(self, name: str) -> bool:  # noqa: ARG002 - the seam's form
        """See `NetworkShape`."""
        return self.per_token

    @property
    def parts(self) -> tuple[str, ...]:
        """Returns the parts that `extract` or `joint` may name."""
        return ("body",)

    def output_shape(self, samples: InputShapes, part: str | None = None) -> Shape | None:
        """See `NetworkShape`."""
        tokens, inputs = self._tokens(samples)
        return *tokens, self.outputs if part != "body" else self.widths[-1] if self.widths else inputs

    def size(self, samples: InputShapes, part: str | None = None) -> NetworkSize:
        """See `NetworkShape`."""
        tokens, inputs = self._tokens(samples)
        size = dense_size(inputs, self.widths if part == "body" else (*self.widths, self.outputs))
        return NetworkSize(size.parameters, math.prod(tokens) * size.multiplications)

    def _tokens(self, samples: InputShapes) -> tuple[Shape, int]:
        """Returns the axes of tokens, of which there is one or none, and the numbers of each."""
        sample = only_input(samples)
        if self.per_token and len(sample) != 2:
            text = f"{self.name} with `per_token` takes samples of shape (length, width), not of shape {sample}"
            raise ShapeError(text)
        return (sample[:1], sample[1]) if self.per_token else ((), math.prod(sample))


class ConvNet(_OneInput):
    """Convolutions with 2x2 max pooling, then dense layers of `widths`, then `outputs` values."""

    name: Literal["convnet"] = "convnet"
    channels: Widths = Field(min_length=1)
    kernel: Kernel = 3
    widths: Widths = ()
    outputs: int = Field(gt=0, le=MOST)
    dropout: float = Field(default=0.0, ge=0, lt=1)

    @property
    def parts(self) -> tuple[str, ...]:
        """Returns the parts that `extract` or `joint` may name."""
        return ("body",)

    def output_shape(self, samples: InputShapes, part: str | None = None) -> Shape | None:
        """See `NetworkShape`."""
        _, image = _convolutions(_images(self.name, samples), self.channels, self.kernel)
        if part == "body":
            return (self.widths[-1] if self.widths else math.prod(image),)
        return (self.outputs,)

    def size(self, samples: InputShapes, part: str | None = None) -> NetworkSize:
        """See `NetworkShape`."""
        size, image = _convolutions(_images(self.name, samples), self.channels, self.kernel)
        return size.plus(dense_size(math.prod(image), self.widths if part == "body" else (*self.widths, self.outputs)))


class ConvAutoencoder(_OneInput):
    """Convolutions with 2x2 max pooling down to a dense `code`, and a dense and convolutional way back."""

    name: Literal["conv_autoencoder"] = "conv_autoencoder"
    channels: Widths = Field(min_length=1)
    kernel: Kernel = 3
    code: int = Field(gt=0, le=MOST)

    @property
    def parts(self) -> tuple[str, ...]:
        """Returns the parts that `extract` or `joint` may name."""
        return ("encoder",)

    def output_shape(self, samples: InputShapes, part: str | None = None) -> Shape | None:
        """See `NetworkShape`."""
        image = _images(self.name, samples)
        return (self.code,) if part == "encoder" else image

    def size(self, samples: InputShapes, part: str | None = None) -> NetworkSize:
        """See `NetworkShape`."""
        inputs, height, width = _images(self.name, samples)
        size, image = _convolutions((inputs, height, width), self.channels, self.kernel)
        size = size.plus(dense_size(math.prod(image), (self.code,)))
        if part == "encoder":
            return size
        size = size.plus(dense_size(self.code, (math.prod(image),)))
        for outputs, back in zip(self.channels, (inputs, *self.channels), strict=False):  # the way back, from its end
            size = size.plus(_convolution(outputs, back, self.kernel, height * width))
            height, width = (height + 1) // 2, (width + 1) // 2
        return size


class EmbeddingRnn(_OneInput):
    """Vectors for tokens, a recurrent layer of `hidden` units, its mean or last state, then `outputs` values.

    A sample is a row of tokens from 0 to below `vocabulary`. Those with the number 0 are padding, and do not count.
    With `per_token` there are `outputs` values for the state at each token, and no pooling.
    """

    name: Literal["embedding_rnn"] = "embedding_rnn"
    vocabulary: int = Field(gt=1, le=MOST)
    embedding: int = Field(gt=0, le=MOST)
    hidden: int = Field(gt=0, le=MOST)
    cell: Literal["gru", "lstm"] = "gru"
    pooling: Literal["mean", "last"] = "mean"
    per_token: bool = False
    outputs: int = Field(gt=0, le=MOST)

    def takes_any_length(self, name: str) -> bool:  # noqa: ARG002 - the seam's form
        """See `NetworkShape`."""
        return True

    def input_values(self, name: str) -> InputValues:  # noqa: ARG002 - the seam's form
        """Returns the tokens that the network takes."""
        return InputValues(integers=True, below=self.vocabulary)

    @property
    def parts(self) -> tuple[str, ...]:
        """Returns the parts that `extract` or `joint` may name."""
        return ("body",)

    def output_shape(self, samples: InputShapes, part: str | None = None) -> Shape | None:
        """See `NetworkShape`."""
        sample = only_input(samples)
        if len(sample) != 1 or sample[0] < 1:
            raise ShapeError(f"{self.name} takes rows of tokens of shape (length,), not samples of shape {sample}")
        made = self.hidden if part == "body" else self.outputs
        return (sample[0], made) if self.per_token else (made,)

    def size(self, samples: InputShapes, part: str | None = None) -> NetworkSize:
        """See `NetworkShape`."""
        self.output_shape(samples)
        weights = GATES[self.cell] * self.hidden * (self.embedding + self.hidden)
        biases = GATES[self.cell] * self.hidden * 2
        length = only_input(samples)[0]
        size = NetworkSize(self.vocabulary * self.embedding + weights + biases, length * weights)
        output = dense_size(self.hidden, (self.outputs,))
        times = length if self.per_token else 1
        return size if part == "body" else size.plus(NetworkSize(output.parameters, times * output.multiplications))


class UserModel(BaseModel):
    """`package.module:attribute` and its keyword arguments: a callable that returns a network of the framework.

    `input_type` is no argument of the callable: with ``integer`` samples reach the network as integers (int64). A
    mapping says so for inputs by their names; others are numbers.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    name: str = Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")
    input_type: InputType | dict[InputName, InputType] = "float"

    def takes_any_length(self, name: str) -> bool:  # noqa: ARG002 - the seam's form
        """See `NetworkShape`."""
        return True

    def input_values(self, name: str) -> InputValues:
        """See `NetworkShape`."""
        of_input = self.input_type.get(name, "float") if isinstance(self.input_type, dict) else self.input_type
        return InputValues(integers=of_input == "integer")

    @property
    def input_names(self) -> None:
        """Returns None: the arguments of its forward pass are the names."""
        return None

    @property
    def parts(self) -> tuple[str, ...] | None:
        """Returns None: any attribute of the network may be named."""
        return None

    @property
    def arguments(self) -> dict[str, Any]:
        """Returns the keyword arguments for the callable."""
        return dict(self.model_extra or {})

    def output_shape(self, samples: InputShapes, part: str | None = None) -> Shape | None:  # noqa: ARG002 - the seam's form
        """Returns None: only the network that has been built shows it."""
        return None

    def size(self, samples: InputShapes, part: str | None = None) -> NetworkSize | None:  # noqa: ARG002 - the seam's form
        """Returns None: only the network that has been built shows it."""
        return None

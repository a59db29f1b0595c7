"""Builds Gluon blocks from descriptions of networks; shapes are known, so that no parameter has deferred shape."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

from hpcmtl.errors import InputError, Problem, reason_of
from hpcmtl.networks.description import Branches, Leaf, Part, output_shape, values_by_input
from hpcmtl.networks.fusion import Fusion
from hpcmtl.networks.input_values import INPUT
from hpcmtl.networks.models import ConvAutoencoder, ConvNet, Mlp, UserModel
from hpcmtl.networks.shapes import only_input, shapes_text
from hpcmtl.training.gluon.branches import BranchedBlock
from hpcmtl.training.gluon.compat import import_mxnet
from hpcmtl.training.gluon.coupled_heads import CoupledBlock
from hpcmtl.training.gluon.description import GLUON
from hpcmtl.training.gluon.input_order import EnclosingBlock, input_arguments, input_order
from hpcmtl.training.gluon.parts import part_of
from hpcmtl.training.gluon.recurrent import RecurrentBlock
from hpcmtl.training.gluon.samples import trial_samples
from hpcmtl.training.head_building import BuildingFunctions, build_heads
from hpcmtl.training.users_objects import users_network

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hpcmtl.networks.description import NetworkDescription, Shared
    from hpcmtl.networks.input_values import InputValues
    from hpcmtl.networks.shapes import InputShapes, Shape
    from hpcmtl.networks.zoo import Model

mx = import_mxnet()
HybridBlock: Any = mx.gluon.HybridBlock
nn = mx.gluon.nn


def build(network: NetworkDescription, samples: InputShapes) -> Any:
    """Makes the (uninitialised) Gluon block of a network for samples of one shape an input.

    Raises:
        InputError: a user's model cannot be imported or built, or a part does not exist.
    """
    if isinstance(network, Leaf):
        return _build_model(network.model, samples)
    if isinstance(network, Part):
        return part_of(build(network.whole, samples), network.part)
    if isinstance(network, Branches):
        return BranchedBlock(network.graph(samples), samples, build_with_shape)
    trunk, code = build_with_shape(network.trunk, samples)
    return SharedNetwork(trunk, _build_heads(network, samples, code))


def _build_heads(network: Shared, samples: InputShapes, code: Shape) -> Any:
    if not network.inputs:
        given = {True: samples, False: {INPUT: code}}  # a part is built as the network that it belongs to
        return _Named([(name, build(head, given[isinstance(head, Part)])) for name, head in network.heads])
    functions = BuildingFunctions(
        build=build, arguments=input_arguments, shape=partial(_shape_by_running, what="a head")
    )
    return CoupledBlock([name for name, _ in network.heads], build_heads(network, samples, code, functions))


def build_with_shape(network: NetworkDescription, samples: InputShapes) -> tuple[Any, Shape]:
    """Makes the block of a network with one output, or with codes of one shape; returns the shape of one sample of it.

    Raises:
        InputError: see `build`, or the network cannot run.
    """
    block, made = build(network, samples), output_shape(network, samples)
    if made is None and isinstance(block, BranchedBlock):
        made = block.code_shape
    if made is None:
        made = _shape_by_running(block, samples, values_by_input(network, input_order(block, samples)))
    return block, made


def outputs_of(block: Any, samples: Sequence[Any]) -> list[Any]:
    """Runs a network on the samples of its inputs; returns a list of outputs, also if there is only one."""
    made = block(*samples)
    return list(made) if isinstance(made, list | tuple) else [made]


class SharedNetwork(EnclosingBlock):
    """Trunk whose output, or whose code for a head, is the input of the head; returns the heads' outputs in order."""

    def __init__(self, trunk: Any, heads: Any) -> None:
        super().__init__()
        self.trunk = trunk
        self.heads = heads

    @property
    def first(self) -> Any:
        """See `EnclosingBlock`."""
        return self.trunk

    def hybrid_forward(self, F: Any, *inputs: Any) -> Any:  # noqa: N803, ARG002 - Gluon's form
        """Returns the outputs of all heads."""
        made = self.trunk(*inputs)
        return self.heads(*made) if isinstance(made, list | tuple) else self.heads(made)


class _Named(HybridBlock):
    """Blocks under names of the job file, all with one input, or with an input each."""

    def __init__(self, blocks: Sequence[tuple[str, Any]]) -> None:
        super().__init__()
        for name, block in blocks:
            self.register_child(block, name)

    def hybrid_forward(self, F: Any, *codes: Any) -> Any:  # noqa: N803, ARG002 - Gluon's form
        blocks = self._children.values()
        each = codes if len(codes) > 1 else codes * len(blocks)
        return [block(code) for block, code in zip(blocks, each, strict=True)]


class _BodyAndOutput(EnclosingBlock):
    """Body of hidden network layers and a dense output."""

    def __init__(self, body: Any, outputs: Any) -> None:
        super().__init__()
        self.body = body
        self.output = outputs

    @property
    def first(self) -> Any:
        """See `EnclosingBlock`."""
        return self.body

    def hybrid_forward(self, F: Any, *inputs: Any) -> Any:  # noqa: N803, ARG002 - Gluon's form
        return self.output(self.body(*inputs))


class _Fusion(HybridBlock):
    """Encoders of several inputs, whose outputs are joined, and dense layers behind them."""

    def __init__(self, model: Fusion, encoders: Mapping[str, Any]) -> None:
        super().__init__()
        self._activation = model.activation
        self.encoders = _Named(list(encoders.items()))
        self.dense = nn.HybridSequential()
        _add_dense(self.dense, model.joined, model.widths, model.activation, model.dropout)

    def hybrid_forward(self, F: Any, *inputs: Any) -> Any:  # noqa: N803 - Gluon's form
        """Takes the inputs in the order of their names, which is that of the encoders."""
        encoders = self.encoders._children.values()  # noqa: SLF001 - as below
        made = [encoder(samples) for encoder, samples in zip(encoders, inputs, strict=True)]
        return self.dense(F.Activation(F.concat(*made, dim=1), act_type=self._activation))


class _Autoencoder(HybridBlock):
    """Autoencoder: an encoder to a code, and a decoder from it."""

    def __init__(self, encoder: Any, decoder: Any) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder

    def hybrid_forward(self, F: Any, x: Any) -> Any:  # noqa: N803, ARG002 - Gluon's form
        return self.decoder(self.encoder(x))


class _Decoder(HybridBlock):
    """Decoder: dense, then upsampling, cropping to the encoder's size and convolution for each level."""

    def __init__(self, model: ConvAutoencoder, sizes: Sequence[tuple[int, int]], channels: int) -> None:
        super().__init__()
        inner, self._sizes = model.channels[-1], list(reversed(sizes[:-1]))
        self._image = (inner, *sizes[-1])
        self.dense = nn.Dense(math.prod(self._image), in_units=model.code, activation="relu")
        outputs = (*reversed(model.channels[:-1]), channels)
        self.convolutions = nn.HybridSequential()
        for index, width in enumerate(outputs):
            last = index == len(outputs) - 1
            self.convolutions.add(_convolution(inner, width, model.kernel, None if last else "relu"))
            inner = width

    def hybrid_forward(self, F: Any, x: Any) -> Any:  # noqa: N803 - Gluon's form
        image = F.reshape(self.dense(x), shape=(-1, *self._image))
        for (height, width), convolution in zip(self._sizes, self.convolutions._children.values(), strict=True):  # noqa: SLF001 - Gluon has no public iteration that can be traced
            image = F.UpSampling(image, scale=2, sample_type="nearest")
            image = F.slice(image, begin=(None, None, 0, 0), end=(None, None, height, width))
            image = convolution(image)
        return image


def _build_model(model: Model, samples: InputShapes) -> Any:
    if isinstance(model, UserModel):
        return users_network(model.name, model.arguments, HybridBlock, "Gluon HybridBlock", GLUON.name)
    if isinstance(model, Fusion):
        encoders = {name: _build_model(each, {INPUT: samples[name]}) for name, each in model.encoders.items()}
        inner = model.widths[-1] if model.widths else model.joined
        return _BodyAndOutput(_Fusion(model, encoders), nn.Dense(model.outputs, in_units=inner))
    sample = only_input(samples)
    if isinstance(model, Mlp):
        body = nn.HybridSequential()
        return _mlp(model, body, sample)
    if isinstance(model, ConvNet):
        body, sizes = _convolutions(sample, model)
        body.add(nn.Flatten())
        inner = _add_dense(body, model.channels[-1] * math.prod(sizes[-1]), model.widths, "relu", model.dropout)
        return _BodyAndOutput(body, nn.Dense(model.outputs, in_units=inner))
    if isinstance(model, ConvAutoencoder):
        encoder, sizes = _convolutions(sample, model)
        encoder.add(nn.Flatten())
        encoder.add(nn.Dense(model.code, in_units=model.channels[-1] * math.prod(sizes[-1])))
        return _Autoencoder(encoder, _Decoder(model, sizes, sample[0]))
    output = nn.Dense(model.outputs, in_units=model.hidden, flatten=not model.per_token)
    return _BodyAndOutput(RecurrentBlock(model), output)


def _convolutions(sample: Shape, model: ConvNet | ConvAutoencoder) -> tuple[Any, list[tuple[int, int]]]:
    """Returns convolution and 2x2 pooling for each width, and the image sizes before and after each."""
    block = nn.HybridSequential()
    inner, height, width = sample
    sizes = [(height, width)]
    for channels in model.channels:
        block.add(_convolution(inner, channels, model.kernel, "relu"))
        block.add(nn.MaxPool2D((min(height, 2), min(width, 2)), 2, ceil_mode=True))  # MXNet refuses 2 on a side of 1
        inner, height, width = channels, (height + 1) // 2, (width + 1) // 2
        sizes.append((height, width))
    return block, sizes


def _convolution(inner: int, outputs: int, kernel: int, activation: str | None) -> Any:
    return nn.Conv2D(outputs, kernel, padding=kernel // 2, in_channels=inner, activation=activation)


def _mlp(model: Mlp, body: Any, sample: Shape) -> Any:
    """Returns dense layers on flattened samples, or on each token by itself; `body` has no layer yet."""
    if not model.per_token:
        body.add(nn.Flatten())
        inner = _add_dense(body, math.prod(sample), model.widths, model.activation, model.dropout)
        return _BodyAndOutput(body, nn.Dense(model.outputs, in_units=inner))
    body.add(nn.HybridLambda("identity"))
    inner = _add_dense(body, sample[-1], model.widths, model.activation, model.dropout, flatten=False)
    return _BodyAndOutput(body, nn.Dense(model.outputs, in_units=inner, flatten=False))


def _add_dense(
    block: Any, inner: int, widths: Sequence[int], activation: str, dropout: float, *, flatten: bool = True
) -> int:
    for width in widths:
        block.add(nn.Dense(width, in_units=inner, activation=activation, flatten=flatten))
        if dropout:
            block.add(nn.Dropout(dropout))
        inner = width
    return inner


def _shape_by_running(
    block: Any, samples: InputShapes, values: Mapping[str, InputValues], what: str = "the trunk"
) -> Shape:
    """Returns the shape of one output sample of a block whose shapes are inferred from data."""
    try:
        block.initialize()
        return tuple(block(*trial_samples(1, samples, values)).shape[1:])
    except (Exception, SystemExit) as error:
        text = f"{what} cannot run on samples of shape {shapes_text(samples)}: {reason_of(error)}"
        raise InputError([Problem("trunk" if what == "the trunk" else "heads", text)]) from error

"""Builds PyTorch modules from descriptions of networks.

The models of the zoo have the parameter names and the initial distributions of those of Gluon, so that an artifact of
one framework loads in the other: ``body.1.weight`` is the weight of the layer behind the flattening.
"""

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
from hpcmtl.training.head_building import BuildingFunctions, build_heads
from hpcmtl.training.input_names import arguments_of
from hpcmtl.training.torch.branches import BranchedModule
from hpcmtl.training.torch.compat import import_torch
from hpcmtl.training.torch.coupled_heads import CoupledModule
from hpcmtl.training.torch.description import TORCH
from hpcmtl.training.torch.layers import ACTIVATIONS, ConvolutionLayer, DenseLayer
from hpcmtl.training.torch.parts import part_of
from hpcmtl.training.torch.recurrent import RecurrentModule
from hpcmtl.training.torch.samples import EnclosingModule, run, run_unchanged, trial_samples
from hpcmtl.training.users_objects import users_network

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hpcmtl.networks.description import NetworkDescription, Shared
    from hpcmtl.networks.input_values import InputValues
    from hpcmtl.networks.shapes import InputShapes, Shape
    from hpcmtl.networks.zoo import Model

torch = import_torch()
nn = torch.nn
Module: Any = nn.Module


def build(network: NetworkDescription, samples: InputShapes) -> Any:
    """Makes the module of a network for samples of one shape an input, with initial parameters.

    Raises:
        InputError: a user's model cannot be imported or built, or a part does not exist.
    """
    if isinstance(network, Leaf):
        return _build_model(network.model, samples)
    if isinstance(network, Part):
        return part_of(build(network.whole, samples), network.part)
    if isinstance(network, Branches):
        return BranchedModule(network.graph(samples), samples, build_with_shape)
    trunk, code = build_with_shape(network.trunk, samples)
    return SharedModule(trunk, _build_heads(network, samples, code))


def _build_heads(network: Shared, samples: InputShapes, code: Shape) -> Any:
    if not network.inputs:
        given = {True: samples, False: {INPUT: code}}  # a part is built as the network that it belongs to
        return _Named([(name, build(head, given[isinstance(head, Part)])) for name, head in network.heads])
    functions = BuildingFunctions(
        build=build,
        arguments=lambda module: arguments_of(module.forward),
        shape=partial(_shape_by_running, what="a head"),
    )
    return CoupledModule([name for name, _ in network.heads], build_heads(network, samples, code, functions))


def build_with_shape(network: NetworkDescription, samples: InputShapes) -> tuple[Any, Shape]:
    """Makes the module of a network with one output, or with codes of one shape; returns the shape of one sample of it.

    Raises:
        InputError: see `build`, or the network cannot run.
    """
    module, made = build(network, samples), output_shape(network, samples)
    if made is None and isinstance(module, BranchedModule):
        made = module.code_shape
    return module, _shape_by_running(module, samples, values_by_input(network, samples)) if made is None else made


def outputs_of(module: Any, samples: Mapping[str, Any]) -> list[Any]:
    """Runs a network on the samples of its inputs; returns a list of outputs, also if there is only one."""
    made = run(module, samples)
    return list(made) if isinstance(made, list | tuple) else [made]


class SharedModule(EnclosingModule):
    """Trunk whose output, or whose code for a head, is the input of the head; returns the heads' outputs in order."""

    def __init__(self, trunk: Any, heads: Any) -> None:
        super().__init__()
        self.trunk = trunk
        self.heads = heads

    @property
    def first(self) -> Any:
        """See `EnclosingModule`."""
        return self.trunk

    def forward(self, *only: Any, **inputs: Any) -> list[Any]:
        """Returns the outputs of all heads."""
        outputs: list[Any] = self.heads(self.trunk(*only, **inputs))
        return outputs


class _Named(Module):
    """Modules under names of the job file, all with one input, or with an input each."""

    def __init__(self, modules: Sequence[tuple[str, Any]]) -> None:
        super().__init__()
        for name, module in modules:
            self._modules[name] = module  # `add_module` refuses names such as `train` and `type`

    def forward(self, x: Any) -> list[Any]:
        modules = list(self._modules.values())
        if isinstance(x, list):
            return [module(code) for module, code in zip(modules, x, strict=True)]
        return [run_unchanged(module, {INPUT: x}) for module in modules[:-1]] + [modules[-1](x)]


class _BodyAndOutput(EnclosingModule):
    """Body of hidden network layers and a dense output."""

    def __init__(self, body: Any, outputs: Any) -> None:
        super().__init__()
        self.body = body
        self.output = outputs

    @property
    def first(self) -> Any:
        """See `EnclosingModule`."""
        return self.body

    def forward(self, *only: Any, **inputs: Any) -> Any:
        return self.output(self.body(*only, **inputs))


class _Fusion(Module):
    """Encoders of several inputs, whose outputs are joined, and dense layers behind them."""

    def __init__(self, model: Fusion, encoders: Mapping[str, Any]) -> None:
        super().__init__()
        self.encoders = _Named(list(encoders.items()))
        layers: list[Any] = []
        _add_dense(layers, model.joined, model.widths, model.activation, model.dropout)
        self.dense = nn.Sequential(*layers)
        self._activation = ACTIVATIONS[model.activation]

    def forward(self, **inputs: Any) -> Any:
        made = [encoder(inputs[name]) for name, encoder in self.encoders.named_children()]
        return self.dense(self._activation(torch.cat(made, dim=1)))


class _Autoencoder(Module):
    """Autoencoder: an encoder to a code, and a decoder from it."""

    def __init__(self, encoder: Any, decoder: Any) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder

    def forward(self, x: Any) -> Any:
        return self.decoder(self.encoder(x))


class _Decoder(Module):
    """Decoder: dense, then upsampling, cropping to the encoder's size and convolution for each level."""

    def __init__(self, model: ConvAutoencoder, sizes: Sequence[tuple[int, int]], channels: int) -> None:
        super().__init__()
        inner, self._sizes = model.channels[-1], list(reversed(sizes[:-1]))
        self._image = (inner, *sizes[-1])
        self.dense = DenseLayer(model.code, math.prod(self._image), "relu")
        outputs = (*reversed(model.channels[:-1]), channels)
        self.convolutions = nn.ModuleList()
        for index, width in enumerate(outputs):
            last = index == len(outputs) - 1
            self.convolutions.append(ConvolutionLayer(inner, width, model.kernel, None if last else "relu"))
            inner = width

    def forward(self, x: Any) -> Any:
        image = self.dense(x).reshape(-1, *self._image)
        for (height, width), convolution in zip(self._sizes, self.convolutions, strict=True):
            image = nn.functional.interpolate(image, scale_factor=2, mode="nearest")
            image = convolution(image[:, :, :height, :width])
        return image


def _build_model(model: Model, samples: InputShapes) -> Any:
    if isinstance(model, UserModel):
        return users_network(model.name, model.arguments, Module, "torch.nn.Module", TORCH.name)
    if isinstance(model, Fusion):
        encoders = {name: _build_model(each, {INPUT: samples[name]}) for name, each in model.encoders.items()}
        inner = model.widths[-1] if model.widths else model.joined
        return _BodyAndOutput(_Fusion(model, encoders), DenseLayer(inner, model.outputs))
    sample = only_input(samples)
    if isinstance(model, Mlp):
        tokens = model.per_token
        layers: list[Any] = [nn.Identity() if tokens else nn.Flatten()]
        inner = sample[-1] if tokens else math.prod(sample)
        inner = _add_dense(layers, inner, model.widths, model.activation, model.dropout)
        return _BodyAndOutput(nn.Sequential(*layers), DenseLayer(inner, model.outputs))
    if isinstance(model, ConvNet):
        layers, sizes = _convolutions(sample, model)
        layers.append(nn.Flatten())
        inner = _add_dense(layers, model.channels[-1] * math.prod(sizes[-1]), model.widths, "relu", model.dropout)
        return _BodyAndOutput(nn.Sequential(*layers), DenseLayer(inner, model.outputs))
    if isinstance(model, ConvAutoencoder):
        layers, sizes = _convolutions(sample, model)
        layers += [nn.Flatten(), DenseLayer(model.channels[-1] * math.prod(sizes[-1]), model.code)]
        return _Autoencoder(nn.Sequential(*layers), _Decoder(model, sizes, sample[0]))
    return _BodyAndOutput(RecurrentModule(model), DenseLayer(model.hidden, model.outputs))


def _convolutions(sample: Shape, model: ConvNet | ConvAutoencoder) -> tuple[list[Any], list[tuple[int, int]]]:
    """Returns convolution and 2x2 pooling for each width, and the image sizes before and after each."""
    layers: list[Any] = []
    inner, height, width = sample
    sizes = [(height, width)]
    for channels in model.channels:
        layers.append(ConvolutionLayer(inner, channels, model.kernel, "relu"))
        layers.append(nn.MaxPool2d((min(height, 2), min(width, 2)), 2, ceil_mode=True))
        inner, height, width = channels, (height + 1) // 2, (width + 1) // 2
        sizes.append((height, width))
    return layers, sizes


def _add_dense(layers: list[Any], inner: int, widths: Sequence[int], activation: str, dropout: float) -> int:
    for width in widths:
        layers.append(DenseLayer(inner, width, activation))
        if dropout:
            layers.append(nn.Dropout(dropout))
        inner = width
    return inner


def _shape_by_running(
    module: Any, samples: InputShapes, values: Mapping[str, InputValues], what: str = "the trunk"
) -> Shape:
    """Returns the shape of one output sample of a module whose shapes only running it shows."""
    try:
        module.eval()
        with torch.no_grad():
            return tuple(run(module, trial_samples(1, samples, values)).shape[1:])
    except (Exception, SystemExit) as error:
        text = f"{what} cannot run on samples of shape {shapes_text(samples)}: {reason_of(error)}"
        raise InputError([Problem("trunk" if what == "the trunk" else "heads", text)]) from error

"""Stages of the models of the zoo: their layers one by one, by the numbers that these have in both frameworks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hpcmtl.networks.architectures.cells import NOTHING, LayersCell
from hpcmtl.networks.branch_graph import BranchNode
from hpcmtl.networks.description import Leaf, Part, output_shape, size_of
from hpcmtl.networks.models import ConvAutoencoder, ConvNet, Mlp
from hpcmtl.networks.shapes import only_input

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hpcmtl.networks.description import NetworkDescription
    from hpcmtl.networks.shapes import InputShapes, Shape


@dataclass(frozen=True, kw_only=True)
class LayerStage:
    """A layer with parameters, its activation, and what follows it: pooling or dropout.

    Attributes:
        start: number of the first layer: the flattening before the first dense layer, or the layer itself.
        middle: number behind the layer with parameters.
        stop: number behind pooling or dropout.
        made: shape of the output of the layer.
        passed: shape behind pooling or dropout.
        kernel: size of the kernel of a convolution; None for a dense layer.
    """

    start: int
    middle: int
    stop: int
    made: Shape
    passed: Shape
    kernel: int | None


@dataclass(frozen=True, kw_only=True)
class StagedNetwork:
    """A network of the zoo and its stages.

    Attributes:
        network: the network.
        stages: its stages, in order.
        layers: number of its layers; those behind the last stage only flatten.
        made: shape of its output.
        inputs: shapes of its inputs.
    """

    network: NetworkDescription
    stages: tuple[LayerStage, ...]
    layers: int
    made: Shape
    inputs: InputShapes

    def nodes(self, module: str, name: str, stage: LayerStage, takes: tuple[str, ...]) -> tuple[BranchNode, ...]:
        """Returns a node for the layer of a stage, and one with the name and `.next` for what follows it, if any.

        Args:
            module: beginning of the names of the network's parameters.
            name: name of the node.
            stage: one of its stages.
            takes: node before it; none for the inputs of the network.
        """
        layer = self.node(module, name, (stage.start, stage.middle), stage.made, takes)
        if stage.stop == stage.middle:
            return (layer,)
        return layer, self.node(module, f"{name}.next", (stage.middle, stage.stop), stage.passed, (name,))

    def node(self, module: str, name: str, layers: tuple[int, int], made: Shape, takes: tuple[str, ...]) -> BranchNode:
        """Returns a node that runs some layers; the first ones count for the whole network."""
        counted = NOTHING if layers[0] else size_of(self.network, self.inputs)
        cell = LayersCell(network=self.network, start=layers[0], stop=layers[1], made=made, counted=counted)
        return BranchNode(name=name, cell=cell, takes=takes, module=module)

    def end(self, module: str, name: str, value: str) -> tuple[BranchNode, ...]:
        """Returns the node that flattens the last stage's value, where the network does so; none elsewhere."""
        last = self.stages[-1].stop
        if last == self.layers:
            return ()
        return (self.node(module, name, (last, self.layers), self.made, (value,)),)


def stages_problem(network: NetworkDescription) -> str | None:
    """Returns why a network has no stages; None if it has some."""
    model, is_part = _model(network)
    valid = "`mlp`, `convnet`, the part `body` of one of them, or the part `encoder` of `conv_autoencoder`"
    if isinstance(model, Mlp | ConvNet) or (isinstance(model, ConvAutoencoder) and is_part):
        if getattr(model, "per_token", False):
            return "its trunk has outputs for each token; leave `per_token` out"
        if isinstance(model, Mlp) and is_part and not model.widths:
            return "the part `body` of its trunk has no layers; give the `mlp` some `widths`"
        return None
    return f"its trunk needs layers one by one: use {valid}"


def staged(network: NetworkDescription, inputs: InputShapes) -> StagedNetwork:
    """Returns a network that `stages_problem` has none of, with its stages for inputs of some shapes.

    Raises:
        ShapeError: it cannot take such inputs.
    """
    made = output_shape(network, inputs)
    model, is_part = _model(network)
    assert made is not None
    assert isinstance(model, Mlp | ConvNet | ConvAutoencoder)
    widths: Shape = (model.code,) if isinstance(model, ConvAutoencoder) else model.widths
    dropouts = 0 if isinstance(model, ConvAutoencoder) or not model.dropout else len(widths)
    if not (isinstance(model, ConvAutoencoder) or is_part):
        widths = (*widths, model.outputs)
    stages = [] if isinstance(model, Mlp) else list(_convolutions(model, only_input(inputs)))
    stages += _dense(stages[-1].stop if stages else 0, widths, dropouts)
    layers = stages[-1].stop + (not widths)  # without a dense layer the flattening comes last
    return StagedNetwork(network=network, stages=tuple(stages), layers=layers, made=made, inputs=inputs)


def _convolutions(model: ConvNet | ConvAutoencoder, sample: Shape) -> Iterator[LayerStage]:
    """Yields a stage for each convolution, with its pooling."""
    for number, channels in enumerate(model.channels):
        made, at = (channels, *sample[1:]), 2 * number
        sample = (channels, (sample[1] + 1) // 2, (sample[2] + 1) // 2)
        yield LayerStage(start=at, middle=at + 1, stop=at + 2, made=made, passed=sample, kernel=model.kernel)


def _dense(at: int, widths: Shape, dropouts: int) -> Iterator[LayerStage]:
    """Yields a stage for each dense layer, the first ones with dropout; the first one begins with the flattening."""
    for number, width in enumerate(widths):
        middle = at + 1 + (number == 0)
        stop = middle + (number < dropouts)
        yield LayerStage(start=at, middle=middle, stop=stop, made=(width,), passed=(width,), kernel=None)
        at = stop


def _model(network: NetworkDescription) -> tuple[object, bool]:
    """Returns the model of a network, and whether it is a part of it; None for others."""
    if isinstance(network, Part) and isinstance(network.whole, Leaf):
        return network.whole.model, True
    return (network.model, False) if isinstance(network, Leaf) else (None, False)

"""PyTorch modules of the cells of architectures."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from hpcmtl.networks.architectures.cells import (
    AttentionCell,
    CodeCell,
    GateCell,
    MixtureCell,
    ProjectionCell,
    SelectorCell,
    StitchCell,
)
from hpcmtl.networks.branch_graph import named_shapes
from hpcmtl.networks.input_values import INPUT
from hpcmtl.training.torch.compat import import_torch
from hpcmtl.training.torch.layers import ConvolutionLayer, DenseLayer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcmtl.networks.branch_graph import Cell
    from hpcmtl.networks.shapes import InputShapes, Shape

torch = import_torch()
nn = torch.nn
_Module: Any = nn.Module
_Linear: Any = nn.Linear


def make_cell(cell: Cell, samples: InputShapes, values: Sequence[Shape]) -> Any:
    """Returns the module of a cell that has no network of its own.

    Args:
        cell: the cell.
        samples: shapes of the inputs of the network.
        values: shapes of the values that it takes; none if it takes the inputs.
    """
    given = named_shapes(samples, values) or {}
    if isinstance(cell, GateCell):
        return _Gate(given, cell.outputs)
    if isinstance(cell, SelectorCell):
        return _Selector(given, cell)
    if isinstance(cell, MixtureCell):
        return _MixtureSum(len(values[1]))
    if isinstance(cell, StitchCell):
        return _Stitch(cell, values[0])
    if isinstance(cell, AttentionCell):
        return _Attention(values)
    if isinstance(cell, ProjectionCell):
        return _projection(cell, values[0])
    assert isinstance(cell, CodeCell)
    return nn.Identity()


class _InputMap(_Module):
    """Linear map of all inputs, flattened and joined in the order of their names: a weight for each input."""

    def __init__(self, inputs: InputShapes, outputs: int) -> None:
        super().__init__()
        for name in sorted(inputs):
            layer = _Linear(math.prod(inputs[name]), outputs, bias=False)
            nn.init.xavier_uniform_(layer.weight)
            self._modules[name] = layer  # an input may have the name of a method of modules

    def forward(self, *only: Any, **inputs: Any) -> Any:
        named = {INPUT: only[0]} if only else inputs
        return sum(layer(named[name].flatten(1)) for name, layer in self._modules.items())


class _Gate(_InputMap):
    """Softmax of a linear map of the inputs."""

    def forward(self, *only: Any, **inputs: Any) -> Any:
        return torch.softmax(super().forward(*only, **inputs), dim=1)


class _MixtureSum(_Module):
    """Sum of values with a number of axes a sample, times the weights that come first."""

    def __init__(self, axes: int) -> None:
        super().__init__()
        self._ones = (1,) * axes

    def forward(self, weights: Any, *values: Any) -> Any:
        return sum(weights[:, each].reshape(-1, *self._ones) * value for each, value in enumerate(values))


class _Stitch(_Module):
    """Sum of values, times one weight each, or one for each channel."""

    def __init__(self, cell: StitchCell, made: Shape) -> None:
        super().__init__()
        channels = cell.channels(made)
        self.weight = nn.Parameter(torch.tensor(cell.initial).reshape(-1, 1).repeat(1, channels))
        self._shape = (channels, *(1,) * (len(made) - 1)) if len(made) == 3 else (channels,)

    def forward(self, *values: Any) -> Any:
        return sum(self.weight[each].reshape(self._shape) * value for each, value in enumerate(values))


class _Attention(_Module):
    """First value times a mask, made of all values."""

    def __init__(self, values: Sequence[Shape]) -> None:
        super().__init__()
        width = values[0][0]
        self.own = _pointwise(values[0], width)
        self.before = _pointwise(values[0], width, bias=False) if len(values) > 1 else None
        self.mask = _pointwise(values[0], width)

    def forward(self, value: Any, *before: Any) -> Any:
        hidden = self.own(value)
        if self.before is not None:
            hidden = hidden + self.before(before[0])
        return torch.sigmoid(self.mask(torch.relu(hidden))) * value


class _Selector(_Module):
    """Weights of at most some of several values, by binary codes; see `SelectorCell`."""

    def __init__(self, inputs: InputShapes, cell: SelectorCell) -> None:
        super().__init__()
        self._cell = cell
        numbers = torch.arange(cell.outputs)[:, None] >> torch.arange(cell.bits)
        self.register_buffer("_digits", (numbers & 1).float(), persistent=False)
        rows = cell.chosen * cell.bits
        small = cell.gamma / 100
        if cell.by_input:
            self.codes, self.weights = _InputMap(inputs, rows), _InputMap(inputs, cell.chosen)
        self.code = nn.Parameter(torch.empty(rows).uniform_(-small, small))
        self.weight = nn.Parameter(torch.empty(cell.chosen).uniform_(-0.05, 0.05))

    def forward(self, *only: Any, **inputs: Any) -> Any:
        code, weight = self.code[None], self.weight[None]
        if self._cell.by_input:
            code, weight = code + self.codes(*only, **inputs), weight + self.weights(*only, **inputs)
        bits = _smooth_step(code, self._cell.gamma).reshape(len(code), self._cell.chosen, 1, -1)
        singles = torch.where(self._digits > 0, bits, 1 - bits).prod(dim=3)
        return (torch.softmax(weight, dim=1)[:, :, None] * singles).sum(dim=1)


def _smooth_step(values: Any, gamma: float) -> Any:
    """Returns 0 below -gamma/2, 1 above gamma/2, and a cubic polynomial with a smooth derivative between them."""
    inner = values.clamp(-gamma / 2, gamma / 2)
    return -2 / gamma**3 * inner**3 + 3 / (2 * gamma) * inner + 0.5


def _pointwise(shape: Shape, outputs: int, *, bias: bool = True) -> Any:
    """Returns a linear map of the channels of each pixel, or of a vector."""
    made = nn.Conv2d(shape[0], outputs, 1, bias=bias) if len(shape) > 1 else nn.Linear(shape[0], outputs, bias=bias)
    nn.init.xavier_uniform_(made.weight)
    if bias:
        nn.init.zeros_(made.bias)
    return made


def _projection(cell: ProjectionCell, given: Shape) -> Any:
    if cell.kernel is not None:
        return ConvolutionLayer(given[0], cell.outputs, cell.kernel, "relu")
    return nn.Sequential(nn.Flatten(), DenseLayer(math.prod(given), cell.outputs, "relu"))

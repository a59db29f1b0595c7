"""Gluon blocks of the cells of architectures, with the parameter names of those of PyTorch."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

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
from hpcmtl.training.gluon.compat import import_mxnet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcmtl.networks.branch_graph import Cell
    from hpcmtl.networks.shapes import InputShapes, Shape

mx = import_mxnet()
_HybridBlock: Any = mx.gluon.HybridBlock
nn = mx.gluon.nn


def make_cell(cell: Cell, samples: InputShapes, values: Sequence[Shape]) -> Any:
    """Returns the block of a cell that has no network of its own.

    Args:
        cell: the cell.
        samples: shapes of the inputs of the network.
        values: shapes of the values that it takes; none if it takes the inputs, in the order of their names.
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
    return nn.HybridLambda("identity")


class _InputMap(_HybridBlock):
    """Linear map of all inputs, flattened and joined in the order of their names: a weight for each input."""

    def __init__(self, inputs: InputShapes, outputs: int) -> None:
        super().__init__()
        for name in sorted(inputs):
            self.register_child(nn.Dense(outputs, use_bias=False, in_units=math.prod(inputs[name])), name)

    def hybrid_forward(self, F: Any, *inputs: Any) -> Any:  # noqa: N803, ARG002 - Gluon's form
        return sum(layer(each) for layer, each in zip(self._children.values(), inputs, strict=True))


class _Gate(_InputMap):
    """Softmax of a linear map of the inputs."""

    def hybrid_forward(self, F: Any, *inputs: Any) -> Any:  # noqa: N803 - Gluon's form
        return F.softmax(super().hybrid_forward(F, *inputs), axis=1)


class _MixtureSum(_HybridBlock):
    """Sum of values with a number of axes a sample, times the weights that come first."""

    def __init__(self, axes: int) -> None:
        super().__init__()
        self._shape = (-1, *(1,) * axes)

    def hybrid_forward(self, F: Any, weights: Any, *values: Any) -> Any:  # noqa: N803 - Gluon's form
        columns = (F.slice_axis(weights, axis=1, begin=each, end=each + 1) for each in range(len(values)))
        return sum(
            F.broadcast_mul(F.reshape(column, shape=self._shape), value)
            for column, value in zip(columns, values, strict=True)
        )


class _Stitch(_HybridBlock):
    """Sum of values, times one weight each, or one for each channel."""

    def __init__(self, cell: StitchCell, made: Shape) -> None:
        super().__init__()
        channels = cell.channels(made)
        initial = np.repeat(np.array(cell.initial, np.float32).reshape(-1, 1), channels, axis=1)
        self.weight = self.params.get("weight", shape=initial.shape, init=mx.init.Constant(initial))
        self._shape = (1, channels, *(1,) * (len(made) - 1)) if len(made) == 3 else (1, channels)

    def hybrid_forward(self, F: Any, *values: Any, weight: Any) -> Any:  # noqa: N803 - Gluon's form
        rows = (F.slice_axis(weight, axis=0, begin=each, end=each + 1) for each in range(len(values)))
        return sum(
            F.broadcast_mul(F.reshape(row, shape=self._shape), value) for row, value in zip(rows, values, strict=True)
        )


class _Attention(_HybridBlock):
    """First value times a mask, made of all values."""

    def __init__(self, values: Sequence[Shape]) -> None:
        super().__init__()
        width = values[0][0]
        self.own = _pointwise(values[0], width)
        self.before = _pointwise(values[0], width, bias=False) if len(values) > 1 else None
        self.mask = _pointwise(values[0], width)

    def hybrid_forward(self, F: Any, value: Any, *before: Any) -> Any:  # noqa: N803 - Gluon's form
        hidden = self.own(value)
        if self.before is not None:
            hidden = hidden + self.before(before[0])
        return F.sigmoid(self.mask(F.relu(hidden))) * value


class _Selector(_HybridBlock):
    """Weights of at most some of several values, by binary codes; see `SelectorCell`."""

    def __init__(self, inputs: InputShapes, cell: SelectorCell) -> None:
        super().__init__()
        self._cell = cell
        rows = cell.chosen * cell.bits
        if cell.by_input:
            self.codes, self.weights = _InputMap(inputs, rows), _InputMap(inputs, cell.chosen)
        self.code = self.params.get("code", shape=(rows,), init=mx.init.Uniform(cell.gamma / 100))
        self.weight = self.params.get("weight", shape=(cell.chosen,), init=mx.init.Uniform(0.05))

    def hybrid_forward(self, F: Any, *inputs: Any, code: Any, weight: Any) -> Any:  # noqa: N803 - Gluon's form
        cell = self._cell
        code, weight = F.expand_dims(code, axis=0), F.expand_dims(weight, axis=0)
        if cell.by_input:
            code, weight = F.broadcast_add(self.codes(*inputs), code), F.broadcast_add(self.weights(*inputs), weight)
        bits = F.reshape(_smooth_step(F, code, cell.gamma), shape=(-1, cell.chosen, cell.bits))
        either = F.reshape(F.arange(start=0, stop=2), shape=(1, 1, 2, 1))
        singles: Any = None
        for place in range(cell.bits):
            bit = F.expand_dims(F.slice_axis(bits, axis=2, begin=place, end=place + 1), axis=3)
            pair = F.broadcast_add(F.broadcast_mul(bit, 2 * either - 1), 1 - either)
            singles = pair if singles is None else F.broadcast_mul(pair, F.expand_dims(singles, axis=2))
            singles = F.reshape(singles, shape=(-1, cell.chosen, 2 ** (place + 1)))
        return F.sum(F.broadcast_mul(F.expand_dims(F.softmax(weight, axis=1), axis=2), singles), axis=1)


def _smooth_step(F: Any, values: Any, gamma: float) -> Any:  # noqa: N803 - as above
    """Returns 0 below -gamma/2, 1 above gamma/2, and a cubic polynomial with a smooth derivative between them."""
    inner = F.clip(values, -gamma / 2, gamma / 2)
    return -2 / gamma**3 * inner**3 + 3 / (2 * gamma) * inner + 0.5


def _pointwise(shape: Shape, outputs: int, *, bias: bool = True) -> Any:
    """Returns a linear map of the channels of each pixel, or of a vector."""
    if len(shape) > 1:
        return nn.Conv2D(outputs, 1, in_channels=shape[0], use_bias=bias)
    return nn.Dense(outputs, in_units=shape[0], use_bias=bias)


def _projection(cell: ProjectionCell, given: Shape) -> Any:
    if cell.kernel is not None:
        return nn.Conv2D(cell.outputs, cell.kernel, padding=cell.kernel // 2, in_channels=given[0], activation="relu")
    block = nn.HybridSequential()
    block.add(nn.Flatten(), nn.Dense(cell.outputs, in_units=math.prod(given), activation="relu"))
    return block

# ruff: noqa: D102, N803, ARG002 - methods in the forms that MXNet asks for
"""Networks, losses and an optimizer as users write them, one for each kind that `networks.py` checks.

Each has an input of 6 x 6 numbers or of 8 word numbers, and three outputs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from user_operators import TanhFunction

from hpcmtl.training.gluon.compat import import_mxnet

mx = import_mxnet()
nn, rnn = mx.gluon.nn, mx.gluon.rnn
HybridBlock: Any = mx.gluon.HybridBlock


def chain(*blocks: Any) -> Any:
    """Returns blocks in sequence."""
    made = nn.HybridSequential()
    made.add(*blocks)
    return made


def shaped(*shape: int) -> Any:
    """Returns a block that gives each sample a shape."""
    return nn.HybridLambda(lambda F, x: F.reshape(x, shape=(0, *shape)))


def dense() -> Any:
    return chain(nn.Flatten(), nn.Dense(16, activation="relu"), nn.Dense(3))


def convolution() -> Any:
    return chain(nn.Conv2D(8, 3, padding=1, activation="relu"), nn.MaxPool2D(), nn.Flatten(), nn.Dense(3))


def grouped() -> Any:
    return chain(nn.Conv2D(8, 3), nn.Conv2D(8, 3, groups=4, activation="relu"), nn.Flatten(), nn.Dense(3))


def dilated() -> Any:
    return chain(nn.Conv2D(6, 3, dilation=2, activation="relu"), nn.Flatten(), nn.Dense(3))


def depthwise() -> Any:
    return chain(
        nn.Conv2D(6, 1), nn.Conv2D(6, 3, groups=6), nn.Conv2D(4, 1, activation="relu"), nn.Flatten(), nn.Dense(3)
    )


def transposed() -> Any:
    return chain(
        nn.Conv2D(4, 3, strides=2), nn.Conv2DTranspose(3, 3, strides=2, activation="relu"), nn.Flatten(), nn.Dense(3)
    )


def one_axis() -> Any:
    return chain(shaped(6, 6), nn.Conv1D(5, 3, activation="relu"), nn.AvgPool1D(), nn.Flatten(), nn.Dense(3))


def three_axes() -> Any:
    return chain(shaped(1, 4, 3, 3), nn.Conv3D(4, 2, activation="relu"), nn.Flatten(), nn.Dense(3))


def batch_norm() -> Any:
    return chain(nn.Conv2D(4, 3), nn.BatchNorm(), nn.Activation("relu"), nn.Flatten(), nn.Dense(3))


def layer_norm() -> Any:
    return chain(nn.Flatten(), nn.Dense(12), nn.LayerNorm(), nn.Activation("tanh"), nn.Dense(3))


def group_norm() -> Any:
    return chain(nn.Conv2D(4, 3), nn.GroupNorm(2), nn.Activation("relu"), nn.Flatten(), nn.Dense(3))


def instance_norm() -> Any:
    return chain(nn.Conv2D(4, 3), nn.InstanceNorm(), nn.Activation("relu"), nn.Flatten(), nn.Dense(3))


def prelu() -> Any:
    return chain(nn.Flatten(), nn.Dense(12), nn.PReLU(), nn.Dense(3))


def activations() -> Any:
    own = [nn.ELU(), nn.SELU(), nn.GELU(), nn.Swish(), nn.LeakyReLU(0.1)]
    return chain(nn.Flatten(), *(each for block in own for each in (nn.Dense(8), block)), nn.Dense(3))


def dropout() -> Any:
    return chain(nn.Flatten(), nn.Dense(16, activation="relu"), nn.Dropout(0.4), nn.Dense(3))


def lstm() -> Any:
    return chain(shaped(6, 6), rnn.LSTM(8, 2, layout="NTC"), nn.Flatten(), nn.Dense(3))


def gru() -> Any:
    return chain(shaped(6, 6), rnn.GRU(6, bidirectional=True, layout="NTC"), nn.Flatten(), nn.Dense(3))


class Unrolled(HybridBlock):
    """A cell over the rows of an image, then an output."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = rnn.LSTMCell(8)
        self.out = nn.Dense(3)

    def hybrid_forward(self, F: Any, x: Any) -> Any:
        _, states = self.cell.unroll(6, F.reshape(x, (0, 6, 6)), layout="NTC", merge_outputs=True)
        return self.out(states[0])


def embedding() -> Any:
    return chain(nn.Embedding(20, 6), nn.Flatten(), nn.Dense(3))


def sparse_embedding() -> Any:
    return chain(nn.Embedding(20, 6, sparse_grad=True), nn.Flatten(), nn.Dense(3))


class Tied(HybridBlock):
    """Two layers with one weight, which is the embedding as well."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(20, 6)
        self.back = nn.Dense(20, in_units=6, params=self.words.params, use_bias=False, flatten=False)
        self.out = nn.Dense(3)

    def hybrid_forward(self, F: Any, x: Any) -> Any:
        return self.out(F.tanh(self.back(self.words(x))))


class Repeated(HybridBlock):
    """A block that is applied twice."""

    def __init__(self) -> None:
        super().__init__()
        self.flat = nn.Dense(10)
        self.layer = nn.Dense(10, activation="tanh")
        self.out = nn.Dense(3)

    def hybrid_forward(self, F: Any, x: Any) -> Any:
        return self.out(self.layer(self.layer(self.flat(x))))


def operator() -> Any:
    own = nn.HybridLambda(lambda F, x: F.Custom(x, op_type="table_tanh"))
    return chain(nn.Flatten(), nn.Dense(12), own, nn.Dense(3))


def operator_beside_convolutions() -> Any:
    own = nn.HybridLambda(lambda F, x: F.Custom(x, op_type="table_tanh"))
    return chain(nn.Conv2D(16, 3, padding=1), own, nn.Conv2D(16, 3), nn.Flatten(), nn.Dense(3))


class Function(HybridBlock):
    """A network with a function in Python, which cannot be compiled."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Dense(12)
        self.out = nn.Dense(3)

    def forward(self, x: Any) -> Any:
        return self.out(TanhFunction()(self.hidden(x)))


class OwnLoss(mx.gluon.loss.Loss):  # type: ignore[misc]
    """The mean fourth power of the error."""

    def __init__(self) -> None:
        super().__init__(weight=None, batch_axis=0)

    def hybrid_forward(self, F: Any, made: Any, target: Any) -> Any:
        return F.mean((made - F.reshape_like(target, made)) ** 4, axis=0, exclude=True)


@mx.optimizer.register
class OwnOptimizer(mx.optimizer.Optimizer):  # type: ignore[misc]
    """Gradient descent with momentum, whose rate decreases with the number of updates."""

    def create_state(self, index: int, weight: Any) -> Any:
        return mx.nd.zeros(weight.shape)

    def update(self, index: int, weight: Any, grad: Any, state: Any) -> None:
        self._update_count(index)
        rate = self._get_lr(index) / np.sqrt(self._index_update_count[index])
        state *= 0.9
        state -= rate * (grad * self.rescale_grad + self._get_wd(index) * weight)
        weight += state


class WithConstant(HybridBlock):
    """A network with a constant."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Dense(12)
        self.mask = self.params.get_constant("mask", np.linspace(0, 1, 12).reshape(1, 12))
        self.out = nn.Dense(3)

    def hybrid_forward(self, F: Any, x: Any, mask: Any) -> Any:
        return self.out(F.broadcast_mul(self.hidden(x), mask))


def rates() -> Any:
    made = dense()
    for number, each in enumerate(made.collect_params().values()):
        each.lr_mult = (0.0, 0.1, 1.0, 3.0)[number % 4]
    return made


def decays() -> Any:
    made = dense()
    for number, each in enumerate(made.collect_params().values()):
        each.wd_mult = (0.0, 2.0, 1.0, 0.5)[number % 4]
    return made


def untrained() -> Any:
    made = dense()
    made[1].collect_params().setattr("grad_req", "null")
    return made


class Columns(HybridBlock):
    """Single units side by side, joined and normalised."""

    def __init__(self, own: bool = False) -> None:
        super().__init__()
        self.units = nn.HybridSequential()
        self.units.add(*(nn.Dense(1) for _ in range(8)))
        self.norm, self.out = None if own else nn.BatchNorm(), nn.Dense(3)

    def hybrid_forward(self, F: Any, x: Any) -> Any:
        joined = F.concat(*(unit(x) for unit in self.units), dim=1)
        return self.out(F.Custom(joined, op_type="table_tanh") if self.norm is None else self.norm(joined))


def columns_operator() -> Any:
    """Returns the same with an operator in place of the normalisation."""
    return Columns(own=True)


class Attention(HybridBlock):
    """Attention of the rows of an image to each other."""

    def __init__(self) -> None:
        super().__init__()
        self.keys, self.queries = (nn.Dense(5, flatten=False) for _ in range(2))
        self.values, self.out = nn.Dense(5, flatten=False), nn.Dense(3)

    def hybrid_forward(self, F: Any, x: Any) -> Any:
        rows = F.reshape(x, (0, 6, 6))
        weights = F.softmax(F.batch_dot(self.queries(rows), self.keys(rows), transpose_b=True))
        return self.out(F.batch_dot(weights, self.values(rows)))


class Residual(HybridBlock):
    """A sum and a concatenation of branches."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.out = nn.Conv2D(4, 3, padding=1), nn.Conv2D(4, 3, padding=1), nn.Dense(3)

    def hybrid_forward(self, F: Any, x: Any) -> Any:
        made = self.first(x)
        return self.out(F.concat(made, made + F.relu(self.second(made)), dim=1))


class Parts(HybridBlock):
    """A block with a body, which other tasks may take, and an output."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.out = chain(nn.Flatten(), nn.Dense(12, activation="tanh")), nn.Dense(3)

    def hybrid_forward(self, F: Any, x: Any) -> Any:
        return self.out(self.body(x))


def head() -> Any:
    return nn.Dense(3)

"""Blocks of users whose compiled form computes something else than the plain one."""

from __future__ import annotations

import random

import numpy as np
import own_memories
from own_blocks import mx, nn


def sloped(outputs=3):
    """A dense net with a slope that is trained: MXNet's gradient of it is wrong once the net is hybridised."""
    block = nn.HybridSequential()
    block.add(nn.Flatten(), nn.Dense(8), nn.PReLU(), nn.Dense(outputs))
    return block


def centred(outputs=3):
    """A net that subtracts the mean over the rows of the batch."""
    block = nn.HybridSequential()
    block.add(nn.Dense(outputs), nn.HybridLambda(lambda F, x: F.broadcast_sub(x, F.mean(x, axis=0, keepdims=True))))  # noqa: N803 - Gluon's form
    return block


class PairedLoss(mx.gluon.loss.Loss):
    """Differences between the outputs of rows that come in pairs."""

    def __init__(self):
        super().__init__(None, 0)

    def hybrid_forward(self, F, output, target):  # noqa: N803 - Gluon's form
        """The same for both rows of a pair; the target plays no part."""
        pairs = F.reshape(output, (-1, 2, 3))
        return F.mean(F.square(F.reshape(pairs - F.flip(pairs, axis=1), (-1, 3))), axis=1) + 0 * target


class CentredLoss(mx.gluon.loss.Loss):
    """Squares of the outputs without their mean over the rows of the batch."""

    def __init__(self):
        super().__init__(None, 0)

    def hybrid_forward(self, F, output, target):  # noqa: N803 - Gluon's form
        """Couples the rows; the target plays no part."""
        return F.mean(F.square(F.broadcast_sub(output, F.mean(output, axis=0, keepdims=True))), axis=1) + 0 * target


class BroadcastLoss(mx.gluon.loss.Loss):
    """Squares of differences that are broadcast: outputs (n, 1) less targets (n,) are (n, n)."""

    def __init__(self):
        super().__init__(None, 0)

    def hybrid_forward(self, F, output, target):  # noqa: N803 - Gluon's form
        """All pairs, where the shapes differ."""
        return F.square(F.broadcast_sub(output, target))


class CountingLoss(mx.gluon.loss.Loss):
    """A loss that counts its calls, and a list that it fills; it ends to count after twenty."""

    def __init__(self):
        super().__init__(None, 0)
        self.calls, self.seen, self.constant = 0, [], [1.0]

    def hybrid_forward(self, F, output, target):  # noqa: N803 - Gluon's form
        """Squares, or nothing; the target plays no part."""
        self.calls += 1
        self.seen.append(self.calls)
        return F.mean(F.square(output), axis=1) * float(self.calls < 20) * self.constant[0] + 0 * target


class Noisy(mx.gluon.HybridBlock):
    """A net that adds noise to what it computes, in training alone, and triples it."""

    def __init__(self, outputs=3):
        super().__init__()
        self.out = nn.Dense(outputs)

    def hybrid_forward(self, F, x):  # noqa: N803 - Gluon's form
        """The scores of one dense layer."""
        made = self.out(x)
        return 3 * made + F.random.normal_like(made) if mx.autograd.is_training() else made


class Deciding(Noisy):
    """A net whose Python code decides by a random number whether it takes the opposite."""

    def hybrid_forward(self, F, x):  # noqa: N803 - Gluon's form
        """The scores of one dense layer."""
        return -self.out(x) if random.random() < 0.5 else self.out(x)


class Dropping(Noisy):
    """A net that leaves out a branch at random, in training alone: stochastic depth."""

    def hybrid_forward(self, F, x):  # noqa: N803 - Gluon's form
        """The scores of one dense layer, once or twice."""
        keeps = not mx.autograd.is_training() or random.random() < 0.5
        return self.out(x) + self.out(x) if keeps else self.out(x)


class Auxiliary(mx.gluon.HybridBlock):
    """A net with a branch that only training has."""

    def __init__(self, outputs=3):
        super().__init__()
        self.out, self.beside = nn.Dense(outputs), nn.Dense(outputs, in_units=36)

    def hybrid_forward(self, F, x):  # noqa: N803 - Gluon's form
        """The sum of both in training."""
        return self.out(x) + self.beside(x) if mx.autograd.is_training() else self.out(x)


class Moody(mx.gluon.HybridBlock):
    """A block whose Python code asks whether it is in training."""

    def __init__(self, outputs=3):
        super().__init__()
        self.out = nn.Dense(outputs)

    def hybrid_forward(self, F, x):  # noqa: N803 - Gluon's form
        """Twice as much in training."""
        return self.out(x) * 2 if mx.autograd.is_training() else self.out(x)


class Table(mx.gluon.HybridBlock):
    """A large array as an attribute, to which passes of the Python code add a number."""

    def __init__(self, numbers, added):
        super().__init__()
        self.table, self.added = np.zeros(numbers, np.float32), added
        with self.name_scope():
            self.output = mx.gluon.nn.Dense(3)

    def hybrid_forward(self, F, x):  # noqa: N803 - Gluon's form
        self.table[-1] += self.added
        return self.output(x)


class PrivatelyCounting(mx.gluon.HybridBlock):
    """A private count that passes of the Python code change, and a constant that passes in training count in."""

    def __init__(self):
        super().__init__()
        self._calls = 0
        with self.name_scope():
            self.output = mx.gluon.nn.Dense(3)
            self.seen = self.params.get("seen", shape=(1,), init="zeros", grad_req="null")

    def hybrid_forward(self, F, x, seen):  # noqa: N803 - Gluon's form
        self._calls += 1
        if mx.autograd.is_training() and F is mx.nd:
            with mx.autograd.pause():
                self.seen.data()[:] += 1
        return F.broadcast_mul(self.output(x), 1 + seen / 50)


class RememberingSGD(mx.optimizer.SGD):
    """Gradient descent whose rate falls with a count that a function remembers; see `own_memories`."""

    def __init__(self, place="in_closure", **options):
        super().__init__(**options)
        self._following = getattr(own_memories, place)()

    def update_multi_precision(self, index, weight, grad, state):
        self.wd = 0.1 / self._following()
        super().update_multi_precision(index, weight, grad, state)


class Clip(mx.autograd.Function):
    """Passes values on, and clips their gradients."""

    def __init__(self, most):
        super().__init__()
        self._most = most

    def forward(self, x):
        return x.copy()

    def backward(self, gradient):
        return gradient.clip(-self._most, self._most)


class Clipping(mx.gluon.HybridBlock):
    """A network in which a Function of Python clips gradients."""

    def __init__(self, most):
        super().__init__()
        self._most = most
        with self.name_scope():
            self.output = mx.gluon.nn.Dense(3)

    def forward(self, x):
        return Clip(self._most)(self.output(x))

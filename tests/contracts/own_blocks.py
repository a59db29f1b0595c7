"""What users name as `package.module:attribute` in the job files of the tests."""

from __future__ import annotations

from hpcmtl.training.gluon.compat import import_mxnet

mx = import_mxnet()
nn = mx.gluon.nn


def normalised(outputs=3):
    """A convolutional net with batch normalisation: the one kind of block that has state beside its parameters."""
    block = nn.HybridSequential()
    block.add(nn.Conv2D(4, 3, padding=1), nn.BatchNorm(), nn.Activation("relu"), nn.Flatten(), nn.Dense(outputs))
    return block


class TwoParts(mx.gluon.HybridBlock):
    """A block with a part of its own name, and shapes that only data tells."""

    def __init__(self, width=4, outputs=3):
        super().__init__()
        self.neck = nn.Dense(width, activation="tanh")
        self.head = nn.Dense(outputs)

    def hybrid_forward(self, F, x):  # noqa: N803 - Gluon's form
        """Head on neck."""
        return self.head(self.neck(x))


class Cubic(mx.gluon.loss.Loss):
    """Mean of |difference| to the third power."""

    def __init__(self):
        super().__init__(weight=None, batch_axis=0)

    def hybrid_forward(self, F, made, target):  # noqa: N803 - Gluon's form
        """One value a sample."""
        return F.mean(F.abs(made - F.reshape_like(target, made)) ** 3, axis=0, exclude=True)


class Halving(mx.optimizer.Optimizer):
    """Plain gradient descent at half of the learning rate."""

    def create_state(self, index, weight):
        """It has none."""

    def update(self, index, weight, grad, state):
        """One step."""
        self._update_count(index)
        weight -= 0.5 * self._get_lr(index) * self.rescale_grad * grad


def not_a_block(**_arguments):
    """What a user might write by mistake."""
    return 42


def needs_more(weight):
    """A loss that cannot be made as a job file makes it."""
    return mx.gluon.loss.L2Loss(weight)

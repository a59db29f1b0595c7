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


class InAList(mx.gluon.HybridBlock):
    """A block whose layers stand in a list, of which Gluon knows nothing."""

    def __init__(self, outputs=3):
        super().__init__()
        self.layers = [nn.Dense(4), nn.Dense(outputs)]

    def hybrid_forward(self, F, x):  # noqa: N803 - Gluon's form
        """One layer after the other."""
        for layer in self.layers:
            x = layer(x)
        return x


class Registered(InAList):
    """The same list, with each layer registered."""

    def __init__(self, outputs=3):
        super().__init__(outputs)
        for layer in self.layers:
            self.register_child(layer)


def halved(outputs=3):
    """A network cast to float16."""
    block = nn.Dense(outputs)
    block.cast("float16")
    return block


class Branched(mx.gluon.HybridBlock):
    """A block with a branch that no forward pass takes."""

    def __init__(self, outputs=3):
        super().__init__()
        self.taken, self.other = nn.Dense(outputs), nn.Dense(outputs)

    def hybrid_forward(self, F, x):  # noqa: N803 - Gluon's form
        """The taken branch alone."""
        return self.taken(x)


class TwoOutputs(TwoParts):
    """A block that returns two outputs."""

    def hybrid_forward(self, F, x):  # noqa: N803 - Gluon's form
        """Output of the head and of the neck."""
        neck = self.neck(x)
        return self.head(neck), neck


class OneRow(TwoParts):
    """A block that joins its samples."""

    def hybrid_forward(self, F, x):  # noqa: N803 - Gluon's form
        """One row for all samples."""
        return F.reshape(self.head(self.neck(x)), (1, -1))


def narrow(outputs=3):
    """A network for samples of ten numbers."""
    return nn.Dense(outputs, in_units=10)


class Scalar(Cubic):
    """A loss that gives one number for the whole batch."""

    def hybrid_forward(self, F, made, target):  # noqa: N803 - Gluon's form
        """Mean over all samples."""
        return F.mean(made - F.reshape_like(target, made))


def sequential(outputs=3):
    """A network whose parts have numbers alone."""
    block = nn.HybridSequential()
    inner = nn.HybridSequential()
    inner.add(nn.Flatten(), nn.Dense(5), nn.Dense(4))
    block.add(inner, nn.Dense(outputs))
    return block


def deep(outputs=3):
    """A network whose inner layers have inputs and outputs of one shape."""
    block = nn.HybridSequential()
    inner = nn.HybridSequential()
    inner.add(nn.Flatten(), nn.Dense(36, activation="tanh"), nn.Dense(36, activation="tanh"))
    block.add(inner, nn.Dense(36, activation="tanh"), nn.Dense(outputs))
    return block


class Twice(mx.gluon.HybridBlock):
    """A block that applies one layer twice."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Dense(36)

    def hybrid_forward(self, F, x):  # noqa: N803 - Gluon's form
        """The layer on its own output."""
        return self.layer(self.layer(x))

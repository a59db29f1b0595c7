"""Operators of users that are written in Python, and networks and a loss that have them."""

from __future__ import annotations

from own_blocks import mx, nn


class Tanh(mx.operator.CustomOp):
    """A hyperbolic tangent."""

    def forward(self, is_train, req, in_data, out_data, aux):
        """Of the inputs."""
        self.assign(out_data[0], req[0], mx.nd.tanh(in_data[0]))

    def backward(self, req, out_grad, in_data, out_data, in_grad, aux):
        """By the outputs."""
        self.assign(in_grad[0], req[0], out_grad[0] * (1 - out_data[0] ** 2))


@mx.operator.register("own_tanh")
class TanhProperties(mx.operator.CustomOpProp):
    """The properties that MXNet asks of the operator."""

    def create_operator(self, ctx, shapes, dtypes):
        """One for each place in a graph."""
        return Tanh()


class OwnOperator(mx.gluon.HybridBlock):
    """A block of the operator."""

    def hybrid_forward(self, F, x):  # noqa: N803 - Gluon's form
        """Its output."""
        return F.Custom(x, op_type="own_tanh")


class OwnInTraining(OwnOperator):
    """A block of the operator in training, and nothing otherwise."""

    def hybrid_forward(self, F, x):  # noqa: N803 - Gluon's form
        """Its output, or the input."""
        return super().hybrid_forward(F, x) if mx.autograd.is_training() else x


class TanhFunction(mx.autograd.Function):
    """The same as a function, which no graph shows."""

    def forward(self, x):
        """Of the inputs."""
        y = mx.nd.tanh(x)
        self.save_for_backward(y)
        return y

    def backward(self, slopes):
        """By the outputs."""
        (y,) = self.saved_tensors
        return slopes * (1 - y * y)


class OwnFunction(mx.gluon.HybridBlock):
    """A block of the function."""

    def forward(self, x):
        """Its output."""
        return TanhFunction()(x)


class InSequence(mx.gluon.HybridBlock):
    """Blocks in sequence, without a graph, as a function needs it."""

    def __init__(self, blocks):
        super().__init__()
        for block in blocks:
            self.register_child(block)

    def forward(self, x):
        """The output of the last."""
        for block in self._children.values():
            x = block(x)
        return x


def operators(outputs=3, *, convolutions=True, function=False, training=False):
    """Returns a network with operators in Python."""
    own = OwnFunction if function else OwnInTraining if training else OwnOperator
    blocks = [nn.Conv2D(16, 3, padding=1), own(), nn.Conv2D(16, 3, padding=1), own()] if convolutions else []
    blocks += [nn.Flatten(), nn.Dense(16), own(), nn.Dense(outputs)]
    if function:
        return InSequence(blocks)
    made = nn.HybridSequential()
    made.add(*blocks)
    return made


def convolutional(outputs=3):
    """Returns a network without them."""
    made = nn.HybridSequential()
    made.add(nn.Conv2D(16, 3, padding=1), nn.Dense(outputs))
    return made


class Joined(mx.gluon.HybridBlock):
    """Dense layers side by side, joined, with something behind them."""

    def __init__(self, branches=3, units=1, behind="", outputs=3):
        super().__init__()
        with self.name_scope():
            self.branches = nn.HybridSequential()
            self.branches.add(*(nn.Dense(units) for _ in range(branches)))
            self.norm = nn.BatchNorm() if behind == "norm" else None
            self.last = nn.Dense(outputs)
        self.behind = behind

    def hybrid_forward(self, F, x):  # noqa: N803 - Gluon's form
        """Of all branches."""
        joined = F.concat(*(branch(x) for branch in self.branches), dim=1)
        if self.behind == "operator":
            joined = F.Custom(joined, op_type="own_tanh")
        return self.last(joined if self.norm is None else self.norm(joined))


class JoinedWithoutGraph(mx.gluon.Block):
    """The same for arrays alone."""

    def __init__(self, outputs=3):
        super().__init__()
        self.first, self.second, self.last = nn.Dense(1), nn.Dense(1), nn.Dense(outputs)

    def forward(self, x):
        """Of both."""
        return self.last(mx.nd.concat(self.first(x), self.second(x), dim=1))


class SoftmaxOfSpace(mx.gluon.HybridBlock):
    """A softmax behind a convolution: over the last axis, the channels, or all values of a sample."""

    def __init__(self, axis=-1, flat=False, outputs=3):
        super().__init__()
        self.first, self.last, self.axis, self.flat = nn.Conv2D(16, 3, activation="relu"), nn.Dense(outputs), axis, flat

    def hybrid_forward(self, F, x):  # noqa: N803 - Gluon's form
        """Of the weighted images."""
        images = self.first(x)
        return self.last(F.softmax(F.flatten(images) if self.flat else images, axis=self.axis))


class OwnLoss(mx.gluon.loss.Loss):
    """A loss with the operator."""

    def __init__(self):
        super().__init__(weight=None, batch_axis=0)

    def hybrid_forward(self, F, made, target):  # noqa: N803 - Gluon's form
        """One value a sample."""
        return F.mean(F.square(F.Custom(made, op_type="own_tanh") - target), axis=0, exclude=True)

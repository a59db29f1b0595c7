"""Networks with batch normalisation of users of Gluon, named in jobs as ``own_normalised:attribute``."""

from __future__ import annotations

from own_blocks import mx

nn = mx.gluon.nn


class Residual(mx.gluon.HybridBlock):
    """Two batch normalisations beside each other, as in a residual network, behind one and before another."""

    def __init__(self, outputs=3):
        super().__init__()
        self.stem, self.main, self.beside = (nn.HybridSequential() for _ in range(3))
        self.stem.add(nn.Conv2D(4, 3, padding=1, use_bias=False), nn.BatchNorm(), nn.Activation("tanh"))
        self.main.add(nn.Conv2D(6, 3, padding=1, use_bias=False), nn.BatchNorm(momentum=0.7, epsilon=1e-3))
        self.beside.add(nn.Conv2D(6, 1, use_bias=False), nn.BatchNorm(scale=False))
        self.last = nn.BatchNorm(center=False)
        self.output = nn.Dense(outputs)

    def hybrid_forward(self, F, x):  # noqa: N803 - Gluon's form
        """Sum of both branches."""
        x = self.stem(x)
        return 0.2 * self.output(self.last(F.tanh(self.main(x) + self.beside(x))))  # small steps: rounding grows little


def dense_normalised(outputs=3):
    """A batch normalisation behind a dense layer, whose bias has a gradient of 0 but for rounding."""
    block = nn.HybridSequential()
    block.add(nn.Flatten(), nn.Dense(8), nn.BatchNorm(axis=-1), nn.Activation("tanh"), nn.Dense(outputs))
    return block


class Channels(mx.gluon.HybridBlock):
    """A batch normalisation along another axis than the second."""

    def __init__(self, outputs=3, axis=3):
        super().__init__()
        self.convolution = nn.Conv2D(5, 3, use_bias=False)
        self.norm, self.output = nn.BatchNorm(axis=axis), nn.Dense(outputs)

    def hybrid_forward(self, F, x):  # noqa: N803 - Gluon's form
        """Channels last, and normalised there."""
        return self.output(F.tanh(self.norm(F.transpose(self.convolution(x), axes=(0, 2, 3, 1)))))


def channels_last():
    """A batch normalisation along the last of four axes, by its number from the end."""
    return Channels(axis=-1)


class Stopped(mx.gluon.HybridBlock):
    """Batch normalisations without a path of gradients from one to the other."""

    def __init__(self, outputs=3):
        super().__init__()
        self.one, self.other, self.output = nn.BatchNorm(), nn.BatchNorm(), nn.Dense(outputs)
        self.first, self.second = nn.Conv2D(2, 3, use_bias=False), nn.Conv2D(2, 3, use_bias=False)

    def hybrid_forward(self, F, x):  # noqa: N803 - Gluon's form
        """Joins a branch, and one whose input takes no gradient."""
        one = self.one(self.first(x))
        return self.output(F.tanh(F.concat(one, self.other(self.second(x) + F.BlockGrad(one)), dim=1)))


def sloped(outputs=3):
    """A network that MXNet compiles wrongly, so that it runs operation by operation."""
    block = nn.HybridSequential()
    block.add(nn.Conv2D(4, 3, use_bias=False), nn.BatchNorm(), nn.PReLU(), nn.Flatten(), nn.Dense(outputs))
    return block


class OwnNorm(nn.BatchNorm):
    """A batch normalisation of the user's."""


def own_class(outputs=3):
    """A network with it."""
    block = nn.HybridSequential()
    block.add(OwnNorm(), nn.Flatten(), nn.Dense(outputs))
    return block


def with_relu(outputs=3):
    """A batch normalisation of MXNet's that is another operator."""
    block = nn.HybridSequential()
    block.add(nn.BatchNormReLU(), nn.Flatten(), nn.Dense(outputs))
    return block


class InCode(mx.gluon.HybridBlock):
    """A batch normalisation by its operator."""

    def __init__(self, outputs=3):
        super().__init__()
        self.gamma, self.beta, self.mean, self.variance = (
            self.params.get(name, shape=(1,), init=init, differentiable=name in {"gamma", "beta"})
            for name, init in (("gamma", "ones"), ("beta", "zeros"), ("mean", "zeros"), ("variance", "ones"))
        )
        self.norm, self.output = nn.BatchNorm(), nn.Dense(outputs)

    def hybrid_forward(self, F, x, gamma, beta, mean, variance):  # noqa: N803 - Gluon's form
        """Normalises twice."""
        return self.output(self.norm(F.BatchNorm(x, gamma, beta, mean, variance, fix_gamma=False)))


class Looped(mx.gluon.HybridBlock):
    """A batch normalisation in a loop."""

    def __init__(self, outputs=3):
        super().__init__()
        self.norm, self.output = nn.BatchNorm(in_channels=6), nn.Dense(outputs)

    def hybrid_forward(self, F, x):  # noqa: N803 - Gluon's form
        """Normalises each row of the images by itself."""
        steps = F.transpose(F.reshape(x, shape=(0, 6, 6)), axes=(1, 0, 2))
        made, _ = F.contrib.foreach(lambda step, state: (self.norm(step), state), steps, [F.zeros_like(x)])
        return self.output(F.transpose(made, axes=(1, 0, 2)))

"""Names that the job files of the tests have for users, as `package.module:attribute`."""

from __future__ import annotations

import threading

import numpy as np

from hpcmtl.training.gluon.compat import import_mxnet

mx = import_mxnet()
nn = mx.gluon.nn


def normalised(outputs=3):
    """A convolutional net with batch normalisation: the one kind of block that has state beside its parameters."""
    block = nn.HybridSequential()
    block.add(nn.Conv2D(4, 3, padding=1), nn.BatchNorm(), nn.Activation("relu"), nn.Flatten(), nn.Dense(outputs))
    return block


def normalised_first(outputs=3):
    """A net whose first layer normalises the samples: its statistics depend on the data alone."""
    block = nn.HybridSequential()
    block.add(nn.BatchNorm(), nn.Flatten(), nn.Dense(outputs))
    return block


def normalised_beside(outputs=3):
    """A net whose first normalisation uses its running statistics in training as well, and its second does not."""
    block = nn.HybridSequential()
    block.add(nn.BatchNorm(use_global_stats=True), nn.BatchNorm(), nn.Flatten(), nn.Dense(outputs))
    return block


class Lookup(mx.gluon.HybridBlock):
    """A table with a number for each of many ids; the output of a sample is the sum of the numbers of its ids."""

    def __init__(self, rows):
        super().__init__()
        self.table = nn.Embedding(rows, 1, weight_initializer=mx.init.Uniform(1))

    def hybrid_forward(self, F, ids):  # noqa: N803 - Gluon's form
        """Adds the numbers of the ids of each sample."""
        return F.sum(self.table(ids), axis=1)


class Applied(mx.gluon.HybridBlock):
    """A block that is applied twice a pass, so that its statistics are updated twice a step."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm()

    def hybrid_forward(self, F, x):  # noqa: N803 - Gluon's form
        """Normalises, and normalises again."""
        return self.norm(self.norm(x))


def applied_twice(outputs=3):
    """A net with one batch normalisation in two places."""
    block = nn.HybridSequential()
    block.add(Applied(), nn.Flatten(), nn.Dense(outputs))
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


class OneNumber(TwoParts):
    """A block whose output is one number a sample, without an axis of its own."""

    def hybrid_forward(self, F, x):  # noqa: N803 - Gluon's form
        """Sum of the head's outputs."""
        return F.sum(self.head(self.neck(x)), axis=1)


class Picked(mx.gluon.HybridBlock):
    """A block with a constant of whole numbers, the pixels that it looks at."""

    def __init__(self, outputs=3):
        super().__init__()
        self.places = self.params.get_constant("places", mx.nd.array([1, 5, 8, 21], dtype="int32"))
        self.head = nn.Dense(outputs)

    def hybrid_forward(self, F, x, places):  # noqa: N803 - Gluon's form
        """Head on the chosen pixels."""
        return self.head(F.take(F.flatten(x), places, axis=1))


class Noisy(mx.gluon.loss.Loss):
    """Squared differences with noise on the targets."""

    def __init__(self):
        super().__init__(None, 0)

    def hybrid_forward(self, F, outputs, targets):  # noqa: N803 - Gluon's form
        """One value a sample."""
        return F.mean(F.square(outputs - F.reshape_like(targets + F.random.normal_like(targets), outputs)), axis=1)


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


class Slowing(Halving):
    """An optimizer that counts its updates by itself, from the first one on, and takes smaller and smaller steps."""

    def _get_lr(self, index):
        """The rate by the number of updates so far."""
        self.seen = getattr(self, "seen", 0) + 1
        return super()._get_lr(index) / self.seen


def _rank_of_thread(seen):
    """The number of this thread among those that have asked, where ranks are threads."""
    if threading.get_ident() not in seen:
        seen.append(threading.get_ident())
    return seen.index(threading.get_ident())


class Uneven(Halving):
    """An optimizer with another rate on each rank, where ranks are threads."""

    seen = []

    def __init__(self, **options):
        """Looks for its rank."""
        super().__init__(**options)
        self.factor = 1 + _rank_of_thread(self.seen)

    def _get_lr(self, index):
        """The rate, times a number of the rank."""
        return self.factor * super()._get_lr(index)


class Scheduled(Halving):
    """An optimizer with a schedule of its own, whose later steps depend on the rank, where ranks are threads."""

    seen = []

    def __init__(self, **options):
        """Looks for its rank."""
        super().__init__(**options)
        self.every = 10 + _rank_of_thread(self.seen)

    def _get_lr(self, index):
        """The rate of the schedule."""
        return 0.01 * 0.5 ** (self.num_update // self.every)


class Remembering(Halving):
    """An optimizer that keeps all it knows in its attributes."""

    def __init__(self, **options):
        """Knows nothing."""
        super().__init__(**options)
        self.buffers, self.total, self.past, self.pair, self.word = {}, np.int64(0), [], (0, mx.nd.zeros(1)), "none"
        self.table = np.zeros(3)

    def update(self, index, weight, grad, state):
        """A momentum in a dict, and a factor from the rest."""
        self._update_count(index)
        momentum = 0.9 * self.buffers.get(index, 0) + grad * self.rescale_grad
        self.buffers[index] = momentum
        self.total += 1
        self.past = [*self.past[-3:], float(self.total)]
        self.pair = (self.pair[0] + 1, self.pair[1] + 1)
        self.table[self.pair[0] % 3] += 1
        self.word = f"update {self.total}"
        known = len(self.word) + sum(self.past) + self.pair[0] + self.pair[1].asscalar() + self.table[0]
        self.made = known
        weight -= self._get_lr(index) * momentum / (1 + 0.01 * known)


class Drawing(Halving):
    """An optimizer with a generator of its own, which no checkpoint can hold."""

    def __init__(self, **options):
        """Makes the generator."""
        super().__init__(**options)
        self.generator = np.random.default_rng(0)

    def update(self, index, weight, grad, state):
        """With noise."""
        super().update(index, weight, grad + self.generator.normal(), state)


def scheduled(**options):
    """An optimizer with Gluon's own kind of schedule, which would take the place of the job's."""
    return mx.optimizer.SGD(lr_scheduler=mx.lr_scheduler.FactorScheduler(step=10, factor=0.9), **options)


class Misfit(mx.gluon.loss.Loss):
    """A loss whose arrays do not fit each other."""

    def __init__(self):
        super().__init__(None, 0)

    def hybrid_forward(self, F, output, target):  # noqa: N803 - Gluon's form
        return F.broadcast_sub(output, F.tile(F.reshape(target, (-1, 1)), (1, 7)))


def not_a_block(**_arguments):
    """A mistake that a user might write."""
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


def oversized(outputs=3):
    """A network whose second kernel is larger than what the first one leaves; shapes are known from data alone."""
    block = nn.HybridSequential()
    block.add(nn.Conv2D(4, 3), nn.Conv2D(4, 9), nn.Dense(outputs))
    return block


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


class Transposed(mx.gluon.HybridBlock):
    """An autoencoder whose decoder is the transposed weight of its encoder, and an output on its code."""

    def __init__(self, outputs=3):
        super().__init__()
        self.encoder = nn.Dense(8, in_units=36, activation="tanh")
        self.decoder = self.encoder.weight
        self.output = nn.Dense(outputs, in_units=36)

    def hybrid_forward(self, F, x, decoder):  # noqa: N803 - Gluon's form
        """Output of what the decoder makes of the code."""
        return self.output(F.dot(self.encoder(x), decoder))


def tied(by="params", outputs=3):
    """Two dense layers with one weight and one bias: by Gluon's argument `params`, or as one block under two names.

    The shapes come from the first batch. With another word in `by` the layers have parameters of their own.
    """
    first = nn.Dense(6, activation="tanh")
    shared = first.params if by == "params" else None
    second = first if by == "block" else nn.Dense(6, activation="tanh", params=shared)
    block = nn.HybridSequential()
    block.add(nn.Flatten(), nn.Dense(6, activation="tanh"), first, second, nn.Dense(outputs))
    return block


class TiedHeads(mx.gluon.HybridBlock):
    """Two outputs of one dense layer each, which have one weight and bias, and another activation."""

    def __init__(self):
        super().__init__()
        self.trunk = nn.Dense(3, in_units=36, activation="tanh")
        self.digit = nn.Dense(3, in_units=3)
        self.size = nn.Dense(3, in_units=3, activation="tanh", params=self.digit.params)

    def hybrid_forward(self, F, x):  # noqa: N803 - Gluon's form
        """Both outputs."""
        code = self.trunk(x)
        return self.digit(code), self.size(code)


_KEPT = nn.Dense(3)


def kept():
    """A block that is made once for all networks."""
    return _KEPT


def normalised_twice(outputs=3):
    """One batch normalisation under two names."""
    norm = nn.BatchNorm()
    block = nn.HybridSequential()
    convolutions = [nn.Conv2D(4, 3, padding=1, use_bias=False) for _ in range(2)]  # a bias would have no gradient
    block.add(convolutions[0], norm, convolutions[1], norm, nn.Flatten(), nn.Dense(outputs))
    return block


class Whole(mx.gluon.HybridBlock):
    """Makes whole numbers below a bound of the inputs."""

    def __init__(self, bound):
        super().__init__()
        self._bound = bound

    def hybrid_forward(self, F, x):  # noqa: N803 - Gluon's form
        """Nine times the absolute value, rounded down."""
        return F.clip(F.floor(F.abs(x) * 9), 0, self._bound - 1)


def embedded(outputs=3, rows=40, tied=False):
    """An embedding with row-sparse gradients of each pixel, which is made a whole number before."""
    embedding = nn.Embedding(rows, 4, sparse_grad=True)
    block = nn.HybridSequential()
    block.add(Whole(rows), embedding)
    if tied:
        block.add(nn.Dense(rows, in_units=4, use_bias=False, flatten=False, params=embedding.params))
    block.add(nn.Flatten(), nn.Dense(outputs))
    return block


class SparseProduct(mx.gluon.HybridBlock):
    """A linear model of inputs that are mostly 0, stored as csr; its weight has gradients of any storage."""

    def __init__(self, gradients="row_sparse", outputs=3, values="default"):
        super().__init__()
        self._dense = gradients == "csr"  # of a csr input MXNet gives no csr gradients
        self.weight = self.params.get("weight", shape=(36, outputs), grad_stype=gradients, stype=values)

    def hybrid_forward(self, F, x, weight):  # noqa: N803 - Gluon's form
        """Product of the pixels above 1 with the weight."""
        pixels = F.flatten(F.relu(x - 1))
        return F.dot(pixels if self._dense else F.cast_storage(pixels, "csr"), weight)


class Special(mx.gluon.HybridBlock):
    """A network with tied, row-sparse, fixed and unused parameters, a constant, and rates and decays of its own."""

    def __init__(self, outputs=3):
        super().__init__()
        self.embedding = embedded(6)
        self.tied = tied(outputs=6)
        self.fixed = nn.Dense(6, in_units=6, activation="tanh")
        self.blocked = nn.Dense(6, in_units=6)
        self.unused = nn.Dense(2, in_units=6)
        self.added = nn.Dense(outputs, in_units=6)
        self.constant = self.params.get_constant("constant", mx.nd.array([[1.0, 2.0, 0.5]]))
        self.tied[2].weight.lr_mult, self.tied[2].bias.lr_mult = 0.3, 0.0
        self.added.weight.wd_mult = 5.0
        self.fixed.collect_params().setattr("grad_req", "null")
        self.added.collect_params().setattr("grad_req", "add")

    def hybrid_forward(self, F, x, constant):  # noqa: N803 - Gluon's form
        """Scores, scaled by the constant."""
        code = self.fixed(self.embedding(x) + self.tied(x))
        return F.broadcast_mul(self.added(code + F.BlockGrad(self.blocked(code))), constant)


class Nested(mx.gluon.HybridBlock):
    """A block whose layer stands in a list inside of a private list."""

    def __init__(self):
        super().__init__()
        self._layers = [[nn.Dense(3)]]

    def hybrid_forward(self, F, x):  # noqa: N803 - Gluon's form
        """The only layer."""
        return self._layers[0][0](x)


class Referring(TwoParts):
    """A block with a list of blocks that are children already."""

    def __init__(self):
        super().__init__()
        self.ends = [self.neck, self.head]


class Shaped(TwoParts):
    """A block that asks for the shape of its input, which symbols do not have."""

    def hybrid_forward(self, F, x):  # noqa: N803 - Gluon's form
        """Head on neck, of samples as vectors."""
        return self.head(self.neck(x.reshape((x.shape[0], -1))))


def leaves(outputs=3):
    """A script that is no module."""
    raise SystemExit(outputs)


def exits(**_options):
    """The same in place of an optimizer."""
    raise SystemExit(3)


class Leaving(TwoParts):
    """A block that ends the process when it runs."""

    def hybrid_forward(self, F, x):  # noqa: N803 - Gluon's form
        """No output."""
        raise SystemExit(3)


class SoftmaxCELoss(mx.gluon.loss.Loss):
    """A loss of the user's with a name of Gluon's: label -1 counts for nothing."""

    def __init__(self):
        super().__init__(None, 0)

    def hybrid_forward(self, F, outputs, targets):  # noqa: N803 - Gluon's form
        """Ignore label -1."""
        picked = F.pick(F.log_softmax(outputs), F.relu(targets))
        return -F.where(targets < 0, F.zeros_like(picked), picked)


class LastOfSequence(mx.gluon.HybridBlock):
    """Takes the last row of each image that is no padding; a sample of padding alone would be read out of bounds."""

    def __init__(self, outputs=3):
        super().__init__()
        self.outputs = nn.Dense(outputs)
        self.lengths = []

    def forward(self, x, *arguments):
        """Notes the smallest length of the samples before it computes."""
        if isinstance(x, mx.nd.NDArray):
            self.lengths.append(int((x.max(axis=(1, 3)) != 0).sum(axis=1).min().asscalar()))
            assert self.lengths[-1] > 0, "a sequence of length 0"
        return super().forward(x, *arguments)

    def hybrid_forward(self, F, x):  # noqa: N803 - Gluon's form
        """Counts the rows that are no padding, and applies a dense layer to the last."""
        rows = F.max(x, axis=1)
        lengths = F.sum(F.max(rows, axis=2) != 0, axis=1)
        last = F.SequenceLast(F.transpose(rows, (1, 0, 2)), lengths, use_sequence_length=True)
        return self.outputs(last)


class TiedByName(mx.gluon.HybridBlock):
    """Two layers that share their parameters."""

    def __init__(self):
        super().__init__()
        self.first = mx.gluon.nn.Dense(36, in_units=36)
        self.second = mx.gluon.nn.Dense(36, in_units=36, params=self.first.params)
        self.output = mx.gluon.nn.Dense(3, in_units=36)

    def hybrid_forward(self, F, x):  # noqa: N803 - Gluon's form
        return self.output(self.second(F.tanh(self.first(F.flatten(x)))))


class TrainableLoss(mx.gluon.loss.Loss):
    """A loss with a parameter."""

    def __init__(self):
        super().__init__(1.0, 0)
        self.scale = self.params.get("scale", shape=(1,), init="ones")

    def hybrid_forward(self, F, output, target, scale):  # noqa: N803 - Gluon's form
        return F.broadcast_mul(F.square(output - target), scale)


class ScaledLoss(mx.gluon.loss.Loss):
    """A loss with a constant."""

    def __init__(self):
        super().__init__(1.0, 0)
        self.scale = self.params.get_constant("scale", mx.nd.array([3.0]))

    def hybrid_forward(self, F, output, target, scale):  # noqa: N803 - Gluon's form
        return F.broadcast_mul(F.square(output - target), scale)


class TableAndImage(mx.gluon.HybridBlock):
    """Takes a table and an image (1, 6, 6) by name, the table first; `scale` is a parameter of the block's own."""

    def __init__(self, columns=2, outputs=3, normalised=False):
        super().__init__()
        self.of_table, self.of_image = nn.Dense(5, in_units=columns), nn.Dense(5, in_units=36)
        self.norm = nn.BatchNorm(in_channels=5) if normalised else nn.HybridLambda("identity")
        self.output = nn.Dense(outputs, in_units=5)
        self.scale = self.params.get("scale", shape=(1, 5), init="ones")

    def hybrid_forward(self, F, table, image, scale):  # noqa: N803 - Gluon's form
        hidden = F.broadcast_mul(F.tanh(self.norm(self.of_table(table) + self.of_image(image))), scale)
        return self.output(hidden)


class MaskedTable(mx.gluon.HybridBlock):
    """Takes a table, a mask that may be left out, and an image behind it."""

    def __init__(self):
        super().__init__()
        self.output = nn.Dense(3)

    def hybrid_forward(self, F, table, mask=None, image=None):  # noqa: N803 - Gluon's form
        rows = table if mask is None else table * mask
        return self.output(rows if image is None else F.concat(rows, F.flatten(image), dim=1))


class IdsAndNumbers(mx.gluon.HybridBlock):
    """Takes ids as integers and numbers as floats."""

    def __init__(self):
        super().__init__()
        self.table, self.output = nn.Embedding(4, 2), nn.Dense(3, in_units=4)

    def hybrid_forward(self, F, ids, numbers):  # noqa: N803 - Gluon's form
        return self.output(F.concat(self.table(ids), numbers, dim=1))


def after_two_inputs():
    """A sequence whose first block takes two inputs."""
    block = nn.HybridSequential()
    block.add(TableAndImage(outputs=4), nn.Activation("tanh"), nn.Dense(3))
    return block

"""User code of the tests' jobs: callables and networks, some of which fail on request."""

from __future__ import annotations

import ctypes
import itertools
import os
import time
from pathlib import Path

import h5py
import numpy as np


def census(context):
    """Counts the votes for each class, each rank over a share of the samples, and publishes them."""
    scores = context.read(context.arguments["reference"])
    mine = np.zeros(scores.shape[1])
    for row in scores[context.group.rank :: context.group.size]:
        mine[row.argmax()] += 1
    context.group.Allreduce(mine)
    return {"votes": mine, "samples": mine.sum()}


def part(context):
    """Publishes some of the images, all for training."""
    start, stop = context.arguments["start"], context.arguments["stop"]
    return {name: context.read(f"digits/{name}")[start:stop] for name in ("images", "digit")}


def partly_labelled(context):
    """Publishes images with classes and brightness, of which more than half are missing, and their split."""
    images, digit = (context.read(f"digits/{name}") for name in ("images", "digit"))
    generator = np.random.default_rng(context.seed)
    digit = np.where(generator.random(len(digit)) < 0.6, -1, digit.astype(np.int64))
    halves = np.stack([images[:, 0, :4].mean(axis=(1, 2)), images[:, 0, 4:].mean(axis=(1, 2))], axis=1)
    halves = (halves - halves.mean(axis=0)) / halves.std(axis=0)
    halves[generator.random(halves.shape) < 0.6] = np.nan
    split = context.read("digits/split")
    return {"images": images, "digit": digit, "halves": halves.astype(np.float32), "split": split}


def vandal(context):
    """Damages an artifact of another task: one byte of its largest array."""
    (path,) = Path("runs").glob(f"*/artifacts/{context.arguments['task']}.h5")
    if not context.arguments["spare"]:
        with h5py.File(path, locking=False) as file:
            found = []
            file.visititems(lambda _, item: found.append(item) if isinstance(item, h5py.Dataset) else None)
            largest = max(found, key=lambda item: item.nbytes).id
            place = largest.get_offset() or largest.get_chunk_info(0).byte_offset
        content = bytearray(path.read_bytes())
        content[place + 5] ^= 64
        path.write_bytes(bytes(content))


def _mark(name):
    """Creates a file in the working directory; tests compare its time with that of the end."""
    Path(name).touch()


def lone(context):
    """Raises on one rank of the group while the others wait for it in a collective."""
    if context.group.rank == context.arguments["rank"]:
        _mark("raised")
        raise ZeroDivisionError("on purpose, on one rank")
    if context.arguments["wait"] == "barrier":
        context.group.barrier()
    else:
        context.group.Allreduce(np.ones(100_000))


def together(context):
    """Raises on all ranks."""
    raise ZeroDivisionError("on purpose, on all ranks")


def reads_nothing(context):
    """Reads what the task does not have."""
    context.read("nothing/there")


def stubborn(context):
    """Never ends, and never checks for a stop request."""
    _mark(f"stubborn.{context.group.rank}")
    while True:
        time.sleep(0.05)


def locked(context):
    """Waits in native code for ever: Python runs no handler of a signal there."""
    _mark(f"locked.{context.group.rank}")
    mutex, libc = ctypes.create_string_buffer(64), ctypes.CDLL(None)
    libc.pthread_mutex_lock(mutex)
    libc.pthread_mutex_lock(mutex)


def jittered(inputs, rows, random):
    """Adds numbers to an image that belong to the sample and the epoch."""
    return inputs + 0.1 * random.normal(*inputs.shape[1:]) + rows[:, None, None, None] % 2 / 100


def does_nothing(context):
    """Completes at once."""


EDITED = False


def edited_later(context):
    """Fails until its module is edited."""
    if not EDITED:
        raise ValueError("on purpose, before the edit")


def patient(context):
    """Runs until a stop is requested, as a well-behaved callable does."""
    _mark(f"patient.{context.group.rank}")
    while not context.stop_requested():
        time.sleep(0.01)


def _rank():
    return int(os.environ["OMPI_COMM_WORLD_RANK"])


def _dense(outputs):
    """Returns a network of one dense layer."""
    from mxnet.gluon import nn

    net = nn.HybridSequential()
    net.add(nn.Flatten(), nn.Dense(outputs))
    return net


def on_a_failing_disk(outputs, rank):
    """Returns a network; from then on all reads of data on one rank fail after the first."""
    from hpcmtl.data.reader import ArrayReader

    read, reads = ArrayReader.read_into, itertools.count()

    def fail(reader, *arguments, **keywords):
        if next(reads) > 0:
            _mark("raised")
            raise OSError(5, "Input/output error, on purpose")
        return read(reader, *arguments, **keywords)

    if _rank() == rank:
        ArrayReader.read_into = fail
    return _dense(outputs)


def with_a_failing_engine(outputs, rank):
    """Returns a network; from then on one rank's Horovod raises at its fifth allreduce."""
    import horovod.mxnet as hvd

    allreduce, calls = hvd.grouped_allreduce_, itertools.count(1)

    def fail(*arguments, **keywords):
        if next(calls) == 5:
            _mark("raised")
            raise RuntimeError("on purpose, in the engine")
        return allreduce(*arguments, **keywords)

    if _rank() == rank:
        hvd.grouped_allreduce_ = fail
    return _dense(outputs)


def with_an_unused_layer(outputs):
    """Returns a network with parameters on which no output depends."""
    from mxnet import gluon

    class Network(gluon.HybridBlock):
        def __init__(self):
            super().__init__()
            with self.name_scope():
                self.out, self.unused = gluon.nn.Dense(outputs), gluon.nn.Dense(2, in_units=4)

        def hybrid_forward(self, F, x):  # noqa: N803 - Gluon's name
            return self.out(x)

    return Network()


def raises_in_forward(outputs, rank):
    """Returns a network that raises on one rank when it is traced for training."""
    from mxnet.gluon import nn

    class Moody(nn.HybridSequential):
        def hybrid_forward(self, F, x):  # noqa: N803 - Gluon's name
            from mxnet import autograd

            if _rank() == rank and autograd.is_training():
                _mark("raised")
                raise ValueError("on purpose, in the network")
            return super().hybrid_forward(F, x)

    net = Moody()
    net.add(nn.Flatten(), nn.Dense(outputs))
    return net


def with_ranks_out_of_step(outputs, calls):
    """Returns a network; from then on each rank's Horovod raises at a different allreduce."""
    import horovod.mxnet as hvd

    allreduce, count, last = hvd.grouped_allreduce_, itertools.count(1), calls[_rank()]

    def fail(*arguments, **keywords):
        if next(count) == last:
            _mark("raised")
            raise RuntimeError(f"on purpose, at call {last}")
        return allreduce(*arguments, **keywords)

    hvd.grouped_allreduce_ = fail
    return _dense(outputs)


def raises_in_the_background(outputs):
    """Returns a network whose forward pass fails on MXNet's threads; the error appears at a later call."""
    import mxnet as mx

    passes = itertools.count()

    class Bomb(mx.operator.CustomOp):
        def forward(self, is_train, req, in_data, out_data, aux):
            if is_train and next(passes) >= 5:
                raise ArithmeticError("on purpose, in the background")
            self.assign(out_data[0], req[0], in_data[0])

        def backward(self, req, out_grad, in_data, out_data, in_grad, aux):
            self.assign(in_grad[0], req[0], out_grad[0])

    @mx.operator.register("bomb")
    class BombProp(mx.operator.CustomOpProp):
        def list_arguments(self):
            return ["data"]

        def create_operator(self, ctx, shapes, dtypes):
            return Bomb()

    class Net(mx.gluon.nn.HybridSequential):
        def hybrid_forward(self, F, x):  # noqa: N803 - Gluon's name
            return F.Custom(super().hybrid_forward(F, x), op_type="bomb")

    net = Net()
    net.add(mx.gluon.nn.Flatten(), mx.gluon.nn.Dense(outputs))
    return net


def normalised(outputs, dying_rank=None, sums=0):
    """A convolutional Gluon network with batch normalisation; a rank may die once, after sums over the group."""
    from mxnet.gluon import nn

    if dying_rank is not None and dying_rank == _rank():
        _die_after(sums)
    block, branches = nn.HybridSequential(), nn.HybridSequential()
    for _ in range(2):
        branch = nn.HybridSequential()
        branch.add(nn.Conv2D(4, 3, strides=2, use_bias=False), nn.BatchNorm())
        branches.add(branch)
    beside = _beside(branches)
    block.add(nn.Conv2D(4, 3, use_bias=False), nn.BatchNorm(), nn.Activation("relu"), beside, nn.Dense(outputs))
    return block


def _beside(branches):
    """Returns a block of the sum of two branches."""
    from mxnet.gluon.contrib.nn import HybridConcurrent

    block = HybridConcurrent(axis=1)
    block.add(*branches._children.values())
    return block


def _die_after(sums):
    """Ends this process in a thread of MXNet's, in the middle of a pass, unless a run has done so before."""
    from hpcmtl.training.gluon.group_sum import GluonGroupSum

    mark, calls, sound = Path("died"), itertools.count(), GluonGroupSum.summed

    def summed(self, vector, layer):
        if self.total is not None and next(calls) == sums and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), 9)
        return sound(self, vector, layer)

    GluonGroupSum.summed = summed


def half_labelled(context):
    """Publishes images with all digits, and parities of which most are missing."""
    images, digit, split = (context.read(f"digits/{name}") for name in ("images", "digit", "split"))
    generator = np.random.default_rng(context.seed)
    parity = np.where(generator.random(len(digit)) < 0.8, -1, digit.astype(np.int64) % 2)
    return {"images": images, "digit": digit.astype(np.int64), "parity": parity, "split": split}


def cubes(outputs, targets, weights):
    """A metric of the user's: the weighted mean of cubed errors, of classes by their numbers."""
    made = outputs.argmax(axis=1) if outputs.ndim == 2 and targets.ndim == 1 else outputs
    return np.average(np.abs(made.astype(np.float64) - targets) ** 3, weights=weights)

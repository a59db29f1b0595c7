"""The training loop that a user of Horovod and Gluon would write by hand, for `step_overhead.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


class HorovodScript:
    """Trains as Horovod's own MXNet example does, with each rank's share of the images in memory."""

    def __init__(self, world: Any, path: Path, batch: int, widths: None = None) -> None:  # noqa: ARG002 - one network
        import h5py
        import numpy as np

        from hpcmtl.training.gluon.compat import import_horovod, import_mxnet

        self._mx, self._hvd = mx, hvd = import_mxnet(), import_horovod()
        if not hvd.is_initialized():  # one rank: the other side uses the local engine
            hvd.init(comm=world.native)
        with h5py.File(path, "r", locking=False) as file:
            images = file["images"][world.rank :: world.size].astype(np.float32) / 255
            labels = file["digit"][world.rank :: world.size]
        self._data = mx.io.NDArrayIter(images, labels, batch_size=batch // world.size, shuffle=True)
        self._net = net = mx.gluon.nn.HybridSequential()
        for channels in (16, 32):
            net.add(mx.gluon.nn.Conv2D(channels, 3, padding=1, activation="relu"), mx.gluon.nn.MaxPool2D())
        net.add(mx.gluon.nn.Dense(64, activation="relu"), mx.gluon.nn.Dense(10))
        net.initialize(mx.init.Xavier())
        net.infer_shape(mx.nd.zeros((1, 1, 28, 28)))
        net.hybridize(static_alloc=True)
        self._loss = mx.gluon.loss.SoftmaxCrossEntropyLoss()
        self._loss.hybridize()
        parameters = net.collect_params()
        hvd.broadcast_parameters(parameters, root_rank=0, prefix="script.")
        options = {"learning_rate": 1e-3}
        self._trainer = hvd.DistributedTrainer(parameters, "adam", options, prefix="script.", num_groups=1)

    def train(self, epochs: int) -> None:
        """Trains some epochs."""
        mx = self._mx
        for _ in range(epochs):
            self._data.reset()
            for batch in self._data:
                images, labels = batch.data[0], batch.label[0]
                with mx.autograd.record():
                    loss = self._loss(self._net(images), labels)
                loss.backward()
                self._trainer.step(len(images))
        mx.nd.waitall()

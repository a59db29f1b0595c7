"""The training loops that a user of PyTorch would write by hand, for `step_overhead.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def convolutional() -> Any:
    """Returns a network of two convolutions and two dense layers."""
    from hpcmtl.training.torch.compat import import_torch

    nn = import_torch().nn
    layers: list[Any] = []
    for inner, channels in ((1, 16), (16, 32)):
        layers += [nn.Conv2d(inner, channels, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(32 * 49, 64), nn.ReLU(), nn.Linear(64, 10))


def dense(widths: Sequence[int]) -> Any:
    """Returns a network of dense layers."""
    from hpcmtl.training.torch.compat import import_torch

    nn = import_torch().nn
    layers: list[Any] = [nn.Flatten()]
    for inner, outer in zip((784, *widths), widths, strict=False):
        layers += [nn.Linear(inner, outer), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(widths[-1], 10))


class PlainScript:
    """Trains in one process, with the images in memory."""

    def __init__(self, world: Any, path: Path, batch: int, widths: Sequence[int] | None = None) -> None:
        """Makes dense layers of these widths; without them a convolutional network."""
        import h5py
        import numpy as np

        from hpcmtl.training.torch.compat import import_torch

        self._torch = torch = import_torch()
        torch.set_num_threads(1)
        with h5py.File(path, "r", locking=False) as file:
            images = file["images"][world.rank :: world.size].astype(np.float32) / 255
            labels = file["digit"][world.rank :: world.size]
        self._images, self._labels = torch.from_numpy(images), torch.from_numpy(labels)
        self._batch = batch // world.size
        self._net = self.distributed(dense(widths) if widths else convolutional(), world)
        self._loss = torch.nn.CrossEntropyLoss()
        self._optimizer = torch.optim.Adam(self._net.parameters(), lr=1e-3)

    def distributed(self, net: Any, world: Any) -> Any:  # noqa: ARG002 - the form of the script for several ranks
        """Returns the network as it is."""
        return net

    def train(self, epochs: int) -> None:
        """Trains some epochs."""
        torch = self._torch
        for _ in range(epochs):
            order = torch.randperm(len(self._images))
            for rows in order.split(self._batch):
                self._optimizer.zero_grad()
                self._loss(self._net(self._images[rows]), self._labels[rows]).backward()
                self._optimizer.step()


class DdpScript(PlainScript):
    """Trains as PyTorch's own examples do, by DistributedDataParallel over gloo."""

    def distributed(self, net: Any, world: Any) -> Any:
        """Returns the network in DistributedDataParallel."""
        distributed = self._torch.distributed
        if not distributed.is_initialized():
            store = (
                distributed.TCPStore("127.0.0.1", 0, world.size, True, wait_for_workers=False)
                if world.rank == 0
                else None
            )
            port = world.bcast(store.port if store is not None else None)
            if store is None:
                store = distributed.TCPStore("127.0.0.1", port, world.size, False)
            distributed.init_process_group("gloo", store=store, rank=world.rank, world_size=world.size)
        return self._torch.nn.parallel.DistributedDataParallel(net)

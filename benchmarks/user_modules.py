"""Networks of a user of PyTorch and of Gluon, for `exactness.py`."""

from __future__ import annotations

from typing import Any

from hpcmtl.training.gluon.compat import import_mxnet
from hpcmtl.training.torch.compat import import_torch


def normalised() -> Any:
    """Returns a convolutional network with batch normalisation for images (1, 6, 6)."""
    nn = import_torch().nn
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(144, 8),
        nn.BatchNorm1d(8),
        nn.Tanh(),
        nn.Linear(8, 3),
    )


def normalised_gluon() -> Any:
    """Returns the same network as a Gluon block, without the biases that batch normalisation takes away.

    They begin at 0 in Gluon and have a gradient of rounding alone, of which a relative difference says nothing.
    """
    nn, block = import_mxnet().gluon.nn, import_mxnet().gluon.nn.HybridSequential()
    block.add(
        nn.Conv2D(4, 3, padding=1, use_bias=False),
        nn.BatchNorm(),
        nn.Activation("relu"),
        nn.Flatten(),
        nn.Dense(8, use_bias=False),
        nn.BatchNorm(),
        nn.Activation("tanh"),
        nn.Dense(3),
    )
    return block

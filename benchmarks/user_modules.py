"""Networks of a user of PyTorch, for `exactness.py`."""

from __future__ import annotations

from typing import Any

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

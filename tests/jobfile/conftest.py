"""A good job in plain values, and a way to write it down and to break it."""

from __future__ import annotations

import copy
from typing import Any

import pytest

DIGITS: dict[str, Any] = {
    "hpcmtl": 1,
    "job": "digits",
    "ranks": 4,
    "data": {"digits": "data/digits.h5"},
    "defaults": {"batch_size": 32, "engine": "kvstore"},
    "layers": {"quantum": "1MiB"},
    "tasks": {
        "trunk": {
            "kind": "train",
            "input": "digits/images",
            "target": "digits/images",
            "model": {"name": "conv_autoencoder", "channels": [8, 16], "code": 32},
            "loss": "l2",
            "epochs": 4,
        },
        "features": {"kind": "extract", "needs": {"trunk": "parameters"}, "output": "encoder"},
        "digit": {
            "kind": "train",
            "needs": {"features": "data"},
            "input": "features/values",
            "target": "digits/digit",
            "model": {"name": "mlp", "widths": [64], "outputs": 10},
            "loss": "softmax_ce",
            "metrics": ["accuracy"],
            "epochs": 6,
            "batch_size": 64,
        },
        "joint": {
            "kind": "joint",
            "needs": {"trunk": "parameters", "digit": "parameters"},
            "input": "digits/images",
            "trunk": {"from": "trunk", "part": "encoder"},
            "heads": {"digit": {"from": "digit"}},
            "epochs": 3,
        },
        "report": {"kind": "evaluate", "needs": {"joint": "parameters"}, "metrics": ["accuracy"]},
    },
}


@pytest.fixture
def digits() -> dict[str, Any]:
    """A good job that a test may change as it likes."""
    return copy.deepcopy(DIGITS)

"""Streams of random numbers that a PyTorch network may draw from: PyTorch's, Python's and numpy's.

A process has one stream of each for all its threads, and ranks may be threads of one process. So a stretch that seeds
the streams, or looks whether they were drawn from, has `ONE_AT_A_TIME`.
"""

from __future__ import annotations

import random
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.training.torch.compat import import_torch

if TYPE_CHECKING:
    from collections.abc import Iterator

torch = import_torch()

ONE_AT_A_TIME = threading.RLock()
"""Lock of the streams, for a stretch that seeds them and draws from them, or that compares their states."""


def seed_all(seed: int) -> None:
    """Begins all streams again, those of GPUs as well."""
    with ONE_AT_A_TIME:
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002 - the stream of those who do not make one of their own


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Begins all streams again for a block; they go on afterwards as before it."""
    with ONE_AT_A_TIME, kept():
        seed_all(seed)
        yield


@contextmanager
def kept() -> Iterator[None]:
    """Lets all streams go on after a block as if it had drawn nothing.

    The caller has `ONE_AT_A_TIME`, unless the block waits for another rank, which may be a thread of this process.
    """
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()  # noqa: NPY002 - as above
    of_gpu = torch.cuda.get_rng_state() if torch.cuda.is_initialized() else None
    try:
        yield
    finally:
        torch.set_rng_state(states[0])
        if of_gpu is not None:
            torch.cuda.set_rng_state(of_gpu)
        random.setstate(states[1])
        np.random.set_state(states[2])  # noqa: NPY002 - as above


def marks() -> tuple[Any, ...]:
    """Returns values that change with any number drawn."""
    name, keys, position, *rest = np.random.get_state()  # noqa: NPY002 - as above
    gpu = bytes(torch.cuda.get_rng_state().numpy()) if torch.cuda.is_initialized() else b""
    return bytes(torch.get_rng_state().numpy()), gpu, random.getstate(), name, bytes(np.asarray(keys)), position, *rest

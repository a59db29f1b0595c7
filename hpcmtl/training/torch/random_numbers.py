"""Streams of random numbers that a PyTorch network may draw from: PyTorch's, and those of `python_random`."""

from __future__ import annotations

import random
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.training.python_random import ONE_AT_A_TIME, python_kept, seed_python
from hpcmtl.training.torch.compat import import_torch

if TYPE_CHECKING:
    from collections.abc import Iterator

torch = import_torch()


def seed_all(seed: int) -> None:
    """Begins all streams again, those of GPUs as well."""
    with ONE_AT_A_TIME:
        torch.default_generator.manual_seed(seed)  # `torch.manual_seed` looks for devices, which takes 60 us
        if torch.cuda.is_initialized():
            torch.cuda.manual_seed(seed)
        seed_python(seed)


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
    state = torch.get_rng_state()
    of_gpu = torch.cuda.get_rng_state() if torch.cuda.is_initialized() else None
    with python_kept():
        try:
            yield
        finally:
            torch.set_rng_state(state)
            if of_gpu is not None:
                torch.cuda.set_rng_state(of_gpu)


def marks() -> tuple[Any, ...]:
    """Returns values that change with any number drawn."""
    name, keys, position, *rest = np.random.get_state()  # noqa: NPY002 - users draw from it
    gpu = bytes(torch.cuda.get_rng_state().numpy()) if torch.cuda.is_initialized() else b""
    return bytes(torch.get_rng_state().numpy()), gpu, random.getstate(), name, bytes(np.asarray(keys)), position, *rest

"""How fast a rank computes: a fixed piece of work, like the training of small networks, for a tenth of a second."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

WINDOWS = 3
WINDOW_SECONDS = 0.04


@dataclass(frozen=True)
class Pace:
    """Rounds of the fixed work in each of some windows.

    Attributes:
        wall: rounds a second; falls when others use the core as well.
        core: rounds a second of the time that the core gave to this thread.
    """

    wall: tuple[float, ...]
    core: tuple[float, ...]


def measure() -> Pace:
    """Work for `WINDOWS` times `WINDOW_SECONDS`.

    A round is the forward pass of a small dense layer and its update, and a pass over an array that no cache of one
    core holds. The matrices are small enough for BLAS to use one thread.
    """
    rows, weights = np.full((32, 64), 0.5, np.float32), np.full((64, 64), 0.01, np.float32)
    large = np.ones(1 << 17, np.float32)
    wall, core = [], []
    for _ in range(WINDOWS):
        rounds, began, used = 0, time.perf_counter(), time.thread_time()
        while (seconds := time.perf_counter() - began) < WINDOW_SECONDS:
            for _ in range(4):
                out = np.tanh(rows @ weights)
                weights -= 1e-6 * (rows.T @ out)
            large *= 0.999
            rounds += 1
        wall.append(rounds / seconds)
        core.append(rounds / max(time.thread_time() - used, 1e-9))
    return Pace(tuple(wall), tuple(core))

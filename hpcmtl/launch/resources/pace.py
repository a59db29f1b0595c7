"""How fast a rank computes: a fixed piece of work, like the training of small networks, and products of matrices."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

WINDOWS = 3
WINDOW_SECONDS = 0.04
SIDE, PRODUCTS = 256, 20  # of square matrices, which the caches hold: 0.4 ms each at 80e9 operations a second


@dataclass(frozen=True)
class Pace:
    """Rounds of the fixed work in each of some windows.

    Attributes:
        wall: rounds a second; falls when others use the core as well.
        core: rounds a second of the time that the core gave to this thread.
        flops: single-precision operations a second of a matrix product, with the threads that BLAS may use.
    """

    wall: tuple[float, ...]
    core: tuple[float, ...]
    flops: float


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
    return Pace(tuple(wall), tuple(core), _flops())


def _flops() -> float:
    """By the fastest of some products: whoever shares the core is let alone at least once in ten milliseconds."""
    matrix = np.full((SIDE, SIDE), 0.5, np.float32)
    least = np.inf
    for _ in range(PRODUCTS):
        began = time.perf_counter()
        matrix @ matrix
        least = min(least, time.perf_counter() - began)
    return float(2 * SIDE**3 / least)

"""Speed of a rank: a fixed workload similar to the training of small networks, and matrix products; of a network."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

WINDOWS = 3
WINDOW_SECONDS = 0.04
SIDE, PRODUCTS = 256, 20  # square matrices that fit into the caches; 0.4 ms each at 80e9 operations per second


@dataclass(frozen=True)
class Pace:
    """Holds the measured speed of a rank.

    Attributes:
        wall: rounds per second of wall time in each window; lower if other processes use the core.
        core: rounds per second of CPU time of this thread in each window.
        flops: single-precision operations per second of a matrix product, with the threads that BLAS may use.
    """

    wall: tuple[float, ...]
    core: tuple[float, ...]
    flops: float


@dataclass(frozen=True)
class NetworkPace:
    """Describes the network between two nodes.

    Attributes:
        latency: seconds of a short message in one direction.
        seconds_per_byte: inverse of the bandwidth of long messages in one direction.
    """

    latency: float
    seconds_per_byte: float

    def __str__(self) -> str:
        return f"{self.latency * 1e6:.0f} us and {8e-9 / self.seconds_per_byte:.3g} Gb/s between nodes"


def measure() -> Pace:
    """Runs the workload for `WINDOWS` times `WINDOW_SECONDS` and returns its speed.

    A round is the forward pass and update of a small dense layer, and a pass over an array larger than the caches of
    one core. The matrices are small enough for BLAS to use one thread.
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
    """Returns the speed of the fastest of some products: a shared core is free at least once in ten milliseconds."""
    matrix = np.full((SIDE, SIDE), 0.5, np.float32)
    least = np.inf
    for _ in range(PRODUCTS):
        began = time.perf_counter()
        matrix @ matrix
        least = min(least, time.perf_counter() - began)
    return float(2 * SIDE**3 / least)

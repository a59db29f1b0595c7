"""Pseudo-random keys as a pure function of a number and a seed.

Splits and shuffles must be equal on every machine and for years. NumPy guarantees this for integer arithmetic, but not
for the streams of its random generators (NEP 19).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hpcmtl.arrays import Ints

_GOLDEN = np.array([0x9E3779B97F4A7C15], dtype=np.uint64)


def _mix(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Applies the finaliser of SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom generators, 2014)."""
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))


def random_keys(numbers: Ints, *salt: int) -> NDArray[np.uint64]:
    """Returns one uniform 64-bit key per number.

    Args:
        numbers: (n,) numbers of samples or blocks.
        salt: further inputs of the keys, e.g. seed and epoch; another salt gives unrelated keys.

    Returns:
        (n,) keys; sorting by them shuffles, comparing them with a threshold samples at random.
    """
    state = np.zeros(1, dtype=np.uint64)
    for value in salt:
        # Arrays, not scalars: uint64 arrays wrap around silently, scalars warn.
        state = _mix(state + np.array([value % 2**64], dtype=np.uint64) + _GOLDEN)
    return _mix(state + numbers.astype(np.uint64) * _GOLDEN)


def splitmix64(keys: NDArray[np.uint64], counters: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Returns outputs of the generators SplitMix64 that some keys seed, by their place in the sequence.

    Args:
        keys: seeds, broadcast against the counters.
        counters: places, from 0.
    """
    return _mix(keys + (counters + np.uint64(1)) * _GOLDEN)

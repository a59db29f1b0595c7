"""Random numbers that belong to a sample and an epoch, and to nothing else.

They are functions of a key of the sample and of a counter, as those of Philox are, computed for all samples of a batch
at once. So they depend neither on the batch, nor on the rank, nor on what was drawn before.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from hpcmtl.data.keys import random_keys, splitmix64

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hpcmtl.arrays import Floats, Ints

_OF_53_BITS = 2.0**-53


class SampleRandom:
    """Draws random numbers for the samples of a batch; each call gives further ones, from a stream for each sample.

    Attributes:
        samples: number of samples, n.
    """

    def __init__(self, numbers: Ints, *salt: int) -> None:
        """Begins the streams.

        Args:
            numbers: (n,) numbers of the samples.
            salt: seed, epoch and other whole numbers; another salt gives unrelated streams.
        """
        self.samples = len(numbers)
        self._keys = random_keys(numbers, *salt)
        self._drawn = 0

    def uniform(self, *shape: int) -> Floats:
        """Returns (n, *shape) numbers, uniform in 0 <= u < 1."""
        bits = self._bits(math.prod(shape)) >> np.uint64(11)
        found: Floats = (bits * _OF_53_BITS).reshape(self.samples, *shape)
        return found

    def normal(self, *shape: int) -> NDArray[np.float32]:
        """Returns (n, *shape) float32 numbers of the standard normal distribution (Box and Muller, 1958)."""
        count = math.prod(shape)
        half = -(-count // 2)
        drawn = self.uniform(2, half)
        radius = np.sqrt(-2 * np.log1p(-drawn[:, 0])).astype(np.float32)
        angle = (2 * np.pi * drawn[:, 1]).astype(np.float32)  # cosines of float64 take twenty times as long
        pairs = np.concatenate([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
        found: NDArray[np.float32] = pairs[:, :count].reshape(self.samples, *shape)
        return found

    def integers(self, low: int, high: int, *shape: int) -> Ints:
        """Returns (n, *shape) whole numbers, uniform in low <= i < high."""
        return low + (self.uniform(*shape) * (high - low)).astype(np.int64)

    def generators(self) -> list[np.random.Generator]:
        """Returns a generator of numpy for each sample, for what the other methods lack; each takes 10 microseconds.

        NumPy may change the streams of its distributions in a later version; `uniform` and `integers` never change.
        """
        (keys,) = self._bits(1).T
        return [np.random.Generator(np.random.Philox(key=int(key))) for key in keys]

    def _bits(self, count: int) -> NDArray[np.uint64]:
        """Returns (n, count) further numbers of 64 random bits."""
        counters = np.arange(self._drawn, self._drawn + count, dtype=np.uint64)
        self._drawn += count
        return splitmix64(self._keys[:, np.newaxis], counters)

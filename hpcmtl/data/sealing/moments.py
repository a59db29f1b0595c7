"""Statistics of a column, gathered block by block."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from hpcmtl.arrays import Floats


@dataclass(frozen=True, kw_only=True)
class Moments:
    """Holds number, mean and sum of squared differences from the mean, so that blocks can be merged exactly enough.

    Attributes:
        count: number of values.
        mean: their mean.
        squares: sum of the squared differences from the mean.
        low, high: extremes.
    """

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0
    low: float = np.inf
    high: float = -np.inf

    def merged(self, values: Floats) -> Moments:
        """Returns the moments with further values (Chan, Golub, LeVeque: Updating formulae for variances, 1979)."""
        if not len(values):
            return self
        size, mean = len(values), float(values.mean())
        difference = values - mean
        count, delta = self.count + size, mean - self.mean
        return Moments(
            count=count,
            mean=self.mean + delta * size / count,
            squares=self.squares + float(difference @ difference) + delta * delta * self.count * size / count,
            low=min(self.low, float(values.min())),
            high=max(self.high, float(values.max())),
        )

    @property
    def deviation(self) -> float:
        """Standard deviation of the values, 1 if they are all the same, so that it can divide."""
        deviation = float(np.sqrt(self.squares / self.count)) if self.count else 0.0
        # Values that differ by rounding alone count as the same.
        return deviation if deviation > 1e-12 * abs(self.mean) else 1.0

"""Mean and deviation of samples, for each index of their first axis: a feature of a row, a channel of an image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from hpcmtl.arrays import Floats
    from hpcmtl.jobfile.transforms import Transform

from hpcmtl.data.transforming.transforms import TransformChain
from hpcmtl.jobfile.transforms import is_complete, with_numbers

_ROUNDING = 1e-12  # values that differ by this part of their mean count as the same


@dataclass(frozen=True, eq=False)
class ChannelMoments:
    """Holds number, mean and sum of squared differences from the mean, so that blocks of samples can be merged.

    Attributes:
        count: number of values at each index of the first axis.
        mean: (c,) their means.
        squares: (c,) sums of the squared differences from these.
    """

    count: int
    mean: Floats
    squares: Floats

    def merged(self, other: ChannelMoments) -> ChannelMoments:
        """Returns the moments of both (Chan, Golub, LeVeque: Updating formulae for variances, 1979)."""
        count, delta = self.count + other.count, other.mean - self.mean
        return ChannelMoments(
            count,
            self.mean + delta * other.count / count,
            self.squares + other.squares + delta**2 * self.count * other.count / count,
        )

    @property
    def deviation(self) -> Floats:
        """(c,) standard deviations; 1 where all values are the same, so that they can divide."""
        found = np.sqrt(self.squares / self.count)
        return np.where(found > _ROUNDING * np.abs(self.mean), found, 1.0)


def channel_moments(rows: NDArray[Any]) -> ChannelMoments:
    """Returns the moments of samples (n, c, ...); one number a sample counts as one index."""
    values = rows.astype(np.float64).reshape(len(rows), rows.shape[1] if rows.ndim > 1 else 1, -1)
    mean = values.mean(axis=(0, 2))
    squares = ((values - mean[:, np.newaxis]) ** 2).sum(axis=(0, 2))
    return ChannelMoments(values.shape[0] * values.shape[2], mean, squares)


def completed(
    transforms: Sequence[Transform], seed: int, moments_of: Callable[[TransformChain], ChannelMoments]
) -> tuple[Transform, ...]:
    """Returns transforms with the numbers that were still to be computed.

    Args:
        transforms: the transforms, in order.
        seed: seed of their random numbers.
        moments_of: function that returns the moments of the train samples after a chain that is not trained on.
    """
    done: list[Transform] = []
    for each in transforms:
        if is_complete(each):
            done.append(each)
            continue
        found = moments_of(TransformChain(done, seed))
        done.append(with_numbers(each, tuple(found.mean.tolist()), tuple(found.deviation.tolist())))
    return tuple(done)

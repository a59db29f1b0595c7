"""Samplers: which samples of a split an epoch has, and how often.

They are pure functions of the data, the seed and the epoch, so that each rank has the same epochs without a message,
and a resumed training the same as before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from hpcmtl.data.keys import random_keys

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hpcmtl.arrays import Ints

_CLASSES, _MEMBERS, _DRAWS, _SHOTS = 2, 3, 4, 5  # salts; `epoch_order` has 0 and 1
_MANTISSA = 53


class Sampler(Protocol):
    """Chooses the samples of each epoch."""

    @property
    def samples(self) -> int:
        """Number of samples in an epoch."""

    def places(self, seed: int, epoch: int) -> Ints:
        """Returns the ascending places (samples,) in the split of the samples of an epoch; a place may be repeated."""


@dataclass(frozen=True, eq=False)
class BalancedSampler:
    """Takes all classes equally often; their numbers of samples in an epoch differ by at most one.

    The samples of one class also differ by at most one in how often they are taken.

    Attributes:
        members: for each class the ascending places of its samples; none is empty.
        samples: number of samples in an epoch.
    """

    members: tuple[Ints, ...]
    samples: int

    def places(self, seed: int, epoch: int) -> Ints:
        """See `Sampler`."""
        classes = np.arange(len(self.members))
        shares = np.full(len(classes), self.samples // len(classes))
        shares[
            np.argsort(random_keys(classes, seed, epoch, _CLASSES), kind="stable")[: self.samples % len(classes)]
        ] += 1
        taken = []
        for members, share in zip(self.members, shares.tolist(), strict=True):
            times, more = divmod(share, len(members))
            order = np.argsort(random_keys(members, seed, epoch, _MEMBERS), kind="stable")
            taken += [np.repeat(members, times), members[order[:more]]]
        return np.sort(np.concatenate(taken))


@dataclass(frozen=True, eq=False)
class WeightedSampler:
    """Draws each sample of an epoch by itself, with replacement, in proportion to the weights.

    Attributes:
        cumulative: (samples of the split,) sums of the weights up to each sample; the last one is more than 0.
        samples: number of samples in an epoch.
    """

    cumulative: NDArray[np.float64]
    samples: int

    def places(self, seed: int, epoch: int) -> Ints:
        """See `Sampler`."""
        keys = random_keys(np.arange(self.samples), seed, epoch, _DRAWS)
        drawn = (keys >> np.uint64(64 - _MANTISSA)).astype(np.float64) * 2.0**-_MANTISSA  # from 0 to below 1
        found: Ints = np.searchsorted(self.cumulative, drawn * self.cumulative[-1], side="right")
        return np.sort(found)


@dataclass(frozen=True, eq=False)
class FixedSampler:
    """Takes the same samples in each epoch.

    Attributes:
        chosen: (samples,) ascending places in the split.
    """

    chosen: Ints

    @property
    def samples(self) -> int:
        """See `Sampler`."""
        return len(self.chosen)

    def places(self, seed: int, epoch: int) -> Ints:  # noqa: ARG002 - as all samplers
        """See `Sampler`."""
        return self.chosen


def k_shot(members: tuple[Ints, ...], k: int, seed: int) -> FixedSampler:
    """Returns a sampler of `k` samples of each class, which the seed chooses.

    Args:
        members: for each class the ascending places of its samples, at least `k`.
        k: samples of a class.
        seed: seed of the whole training.
    """
    orders = (np.argsort(random_keys(each, seed, _SHOTS), kind="stable") for each in members)
    return FixedSampler(np.sort(np.concatenate([each[order[:k]] for each, order in zip(members, orders, strict=True)])))

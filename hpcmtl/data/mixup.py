"""Mixup: each sample of a batch is mixed with a partner in the batch, and is trained on the targets of both.

Zhang, Cisse, Dauphin and Lopez-Paz: mixup: Beyond empirical risk minimization, 2018. Share and partner of a sample are
functions of seed, epoch and the batch of the whole group, so that any number of ranks mixes alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.data.keys import random_keys
from hpcmtl.data.transforming.sample_random import SampleRandom

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hpcmtl.arrays import Floats, Ints

TARGETS_PER_ROW = 2
"""Rows of targets, weights and masks of each mixed row of inputs: those of the sample, then those of its partner."""
_SHARE, _FACTOR, _PARTNER = 7, 8, 9  # salts
_AT_ONCE = 1 << 13
"""Samples whose shares are made at once."""


@dataclass(frozen=True)
class BatchMixup:
    """Describes how a task mixes its samples.

    Attributes:
        alpha: parameter of the distribution Beta(alpha, alpha) of the share that a sample has where it is mixed.
        seed: seed of the random numbers.
        inputs: keys of the arrays that are mixed; all others are targets.
    """

    alpha: float
    seed: int
    inputs: tuple[str, ...]

    def shares(self, numbers: Ints, epoch: int) -> Floats:
        """Returns the shares (n,) that some samples have where they are mixed, from 0 to 1.

        Beta(a, a) is the ratio of Gamma(a) to the sum of two of them, here by logarithms: for a small `alpha` both may
        be too small for a float.
        """
        first, second = (
            _log_gamma(numbers, self.alpha, (self.seed, epoch, _SHARE, which), (self.seed, epoch, _FACTOR, which))
            for which in (0, 1)
        )
        return 1 / (1 + np.exp(np.clip(second - first, -700, 700)))

    def partners(self, numbers: Ints, epoch: int) -> Ints:
        """Returns the place of each sample's partner in a batch, a permutation of its places; it may be the sample.

        Args:
            numbers: (n,) sample numbers of the whole batch, in its order.
            epoch: epoch of the batch.
        """
        return np.argsort(random_keys(numbers, self.seed, epoch, _PARTNER), kind="stable")


def _log_gamma(numbers: Ints, alpha: float, salt: tuple[int, ...], factor_salt: tuple[int, ...]) -> Floats:
    """Returns logarithms of numbers of the distribution Gamma(alpha), one for each sample.

    Marsaglia and Tsang: A simple method for generating gamma variables, 2000: Gamma(alpha + 1) by rejection, whose
    first try is taken for nineteen samples in twenty, times a power of a uniform number.
    """
    random, size = SampleRandom(numbers, *salt), alpha + 2 / 3
    found, waiting = np.zeros(len(numbers)), np.ones(len(numbers), np.bool_)
    while waiting.any():  # all samples draw in each try, so that the numbers of one do not depend on the others
        normal, uniform = random.normal().astype(np.float64), random.uniform()
        cubes = (1 + normal / np.sqrt(9 * size)) ** 3
        logarithms = np.log(np.maximum(cubes, np.finfo(np.float64).tiny))
        bound = 0.5 * normal**2 + size * (1 - cubes + logarithms)
        taken = waiting & (cubes > 0) & (np.log1p(-uniform) < bound)
        found[taken] = np.log(size) + logarithms[taken]
        waiting &= ~taken
    result: Floats = found + np.log1p(-SampleRandom(numbers, *factor_salt).uniform()) / alpha
    return result


@dataclass(frozen=True, eq=False)
class StepMixup:
    """Tells how the samples of one rank in one step are mixed.

    Attributes:
        positions: (m,) ascending positions in the epoch of all samples that the rank reads: its own and their partners.
        own: (n,) places among these of the samples of its share.
        partners: (n,) places of their partners.
        inputs: keys of the arrays that are mixed.
        whole: (whole batch,) positions in the epoch of the samples of the step.
        all_partners: (whole batch,) place of each sample's partner in the batch.
        epoch: mixup of the epoch, which has the shares of all samples.
    """

    positions: Ints
    own: Ints
    partners: Ints
    inputs: tuple[str, ...]
    whole: Ints
    all_partners: Ints
    epoch: EpochMixup

    @property
    def shares(self) -> Floats:
        """Shares (n,) that the samples of the share of the rank have in the mixed samples."""
        return self.epoch.shares(self.whole)[np.searchsorted(self.whole, self.positions[self.own])]

    def labelled(self, counts: NDArray[np.float32]) -> float:
        """Returns the number of samples of the whole batch that a mean is over, each by its shares in mixed samples.

        Args:
            counts: (whole batch,) the part of the labels of each sample that a mean is over.
        """
        known, shares = counts.astype(np.float64), self.epoch.shares(self.whole)
        return float(np.sum(shares * known + (1 - shares) * known[self.all_partners]))

    def rows(self, key: str, array: NDArray[Any]) -> NDArray[Any]:
        """Returns (n, ...) mixed samples, or (2n, ...) targets, from the rows at all positions."""
        if key not in self.inputs:
            return self.both(array)
        shares = self.shares.astype(np.float32).reshape(-1, *[1] * (array.ndim - 1))
        found: NDArray[Any] = shares * array[self.own] + (1 - shares) * array[self.partners]
        return found

    def weights(self, weights: NDArray[np.float32]) -> NDArray[np.float32]:
        """Returns the weights of all targets, from those of the samples at all positions."""
        shares = self.shares
        parts = np.stack([shares, 1 - shares], axis=1).astype(np.float32)
        found: NDArray[np.float32] = self.both(weights) * parts.reshape(-1)
        return found

    def both(self, array: NDArray[Any]) -> NDArray[Any]:
        """Returns the rows of each sample and of its partner, one after the other."""
        found: NDArray[Any] = array[np.stack([self.own, self.partners], axis=1).reshape(-1)]
        return found


class EpochMixup:
    """Tells how the samples of an epoch are mixed; shares are made for many steps at once, as a step costs as much."""

    def __init__(self, mixup: BatchMixup, order: Ints, epoch: int) -> None:
        """Takes the sample numbers of the epoch; no share is made yet."""
        self._mixup, self._order, self._epoch = mixup, order, epoch
        self._start, self._made = 0, np.zeros(0)

    def shares(self, whole: Ints) -> Floats:
        """Returns the shares of the samples at consecutive positions in the epoch."""
        start, stop = int(whole[0]), int(whole[-1]) + 1
        if not self._start <= start <= stop <= self._start + len(self._made):
            self._start = start
            self._made = self._mixup.shares(self._order[start : max(stop, start + _AT_ONCE)], self._epoch)
        return self._made[start - self._start : stop - self._start]

    def step(self, whole: Ints, mine: Ints) -> StepMixup:
        """Returns how the samples of one rank in a step are mixed.

        Args:
            whole: consecutive positions in the epoch of the samples of the step.
            mine: positions of the share of the rank.
        """
        all_partners = self._mixup.partners(self._order[whole], self._epoch)
        partners = whole[all_partners[np.searchsorted(whole, mine)]]
        positions = np.unique(np.concatenate([mine, partners]))
        return StepMixup(
            positions=positions,
            own=np.searchsorted(positions, mine),
            partners=np.searchsorted(positions, partners),
            inputs=self._mixup.inputs,
            whole=whole,
            all_partners=all_partners,
            epoch=self,
        )

"""Plans of epochs: which samples each step of an epoch has, on any number of ranks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from hpcmtl.data.blocks import batches_per_epoch, epoch_order

if TYPE_CHECKING:
    from hpcmtl.arrays import Ints
    from hpcmtl.data.samplers import Sampler


class EpochPlan(Protocol):
    """Orders the samples of each epoch, and cuts the order into steps.

    It is a pure function of the data, the seed and the epoch, so that each rank has the same steps without a message,
    and a resumed training the same as before.
    """

    @property
    def bounds(self) -> Ints:
        """Position in the order at which each step of an epoch begins, and behind them the number of samples."""

    def order(self, indices: Ints, block: int, seed: int, epoch: int) -> Ints:
        """Returns the sample numbers of an epoch in training order.

        Args:
            indices: (n,) ascending numbers of the samples in the split.
            block: samples per block of the files.
            seed: seed of the whole training.
            epoch: epoch, counted from 0.
        """


@dataclass(frozen=True, eq=False)
class SplitEpochs:
    """Takes each sample of a split once an epoch, or those that a sampler chooses, in steps of equal size.

    Attributes:
        samples: number of samples in an epoch.
        batch_size: samples in a step; the last one may be shorter.
        sampler: chooses the samples of each epoch; None for each sample once.
    """

    samples: int
    batch_size: int
    sampler: Sampler | None = None

    @property
    def bounds(self) -> Ints:
        """See `EpochPlan`."""
        return step_bounds(self.samples, self.batch_size)

    def order(self, indices: Ints, block: int, seed: int, epoch: int) -> Ints:
        """See `EpochPlan`."""
        if self.sampler is None:
            return epoch_order(indices, block, seed, epoch)
        places = self.sampler.places(seed, epoch)
        copies = np.arange(len(places)) - np.searchsorted(places, places)
        return epoch_order(indices[places], block, seed, epoch, copies)


def step_bounds(samples: int, batch_size: int) -> Ints:
    """Returns the bounds of steps of equal size, of which the last one may be shorter."""
    return np.minimum(np.arange(batches_per_epoch(samples, batch_size) + 1) * batch_size, samples)

"""Epochs whose steps are composed of several data sets."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from hpcmtl.data.blocks import epoch_order
from hpcmtl.data.mixture import Mixture, epoch_bounds, epoch_rows, sets_of_rows

if TYPE_CHECKING:
    from hpcmtl.arrays import Ints


@dataclass(frozen=True, eq=False)
class MixedEpochs:
    """Takes the rows of several sets in the shares of a mixture; see `EpochPlan`.

    A set goes through all its rows, in a new order each time, before one of them comes again: also from one epoch to
    the next, so that a large set of which an epoch takes a part is seen as a whole over several epochs.

    Attributes:
        mixture: shares of the sets.
        members: for each set the ascending places of its rows in the split.
    """

    mixture: Mixture
    members: tuple[Ints, ...]

    @cached_property
    def bounds(self) -> Ints:
        """See `EpochPlan`."""
        return epoch_bounds(self.mixture)

    def order(self, indices: Ints, block: int, seed: int, epoch: int) -> Ints:
        """See `EpochPlan`."""
        before = np.zeros(len(self.members), np.int64)
        for earlier in range(epoch):
            before += epoch_rows(self.mixture, earlier)
        rows, sets = epoch_rows(self.mixture, epoch), sets_of_rows(self.mixture, epoch)
        order = np.empty(len(sets), indices.dtype)
        for number, places in enumerate(self.members):
            order[sets == number] = _taken(indices[places], block, seed, int(before[number]), int(rows[number]))
        return order


def _taken(numbers: Ints, block: int, seed: int, before: int, count: int) -> Ints:
    """Returns the next rows of a set, of which some were taken before; one pass after the other."""
    first, skipped = divmod(before, len(numbers))
    passes = -(-(skipped + count) // len(numbers))
    orders = [epoch_order(numbers, block, seed, first + each) for each in range(passes)]
    return np.asarray(np.concatenate([numbers[:0], *orders])[skipped : skipped + count], np.int64)

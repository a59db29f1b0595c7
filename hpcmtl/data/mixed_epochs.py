"""Epochs whose steps are composed of several data sets."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from hpcmtl.data.blocks import epoch_order
from hpcmtl.data.epochs import step_bounds
from hpcmtl.data.mixture import Mixture, epoch_rows, epoch_samples, epoch_steps

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
        return mixed_bounds(self.mixture)

    def order(self, indices: Ints, block: int, seed: int, epoch: int) -> Ints:
        """See `EpochPlan`."""
        before = np.zeros(len(self.members), np.int64)
        for earlier in range(epoch):
            before += epoch_rows(self.mixture, earlier)
        rows, sets = epoch_rows(self.mixture, epoch), sets_of_rows(self.mixture, epoch)
        order = np.empty(len(sets), indices.dtype)
        for number, places in enumerate(self.members):
            order[sets == number] = _taken(indices[places], block, seed, int(before[number]), rows[number])
        return order


def mixed_bounds(mixture: Mixture) -> Ints:
    """Returns the bounds of the steps of an epoch, equal for all epochs; see `EpochPlan.bounds`."""
    if mixture.how != "round_robin":
        return step_bounds(epoch_samples(mixture), mixture.batch_size)
    sizes = np.array(mixture.batch_sizes)[np.arange(epoch_steps(mixture)) % len(mixture.sizes)]
    return np.asarray(np.concatenate([[0], np.cumsum(sizes)]), np.int64)


def sets_of_rows(mixture: Mixture, epoch: int) -> Ints:
    """Returns the number of the set of each row of an epoch, in training order.

    The rows of each set are spread evenly over the epoch. So each step has the share of each set, up to one row where
    there are two sets, and exactly where the shares of a step are whole numbers.
    """
    if mixture.how == "round_robin":
        sizes = np.diff(mixed_bounds(mixture))
        return np.asarray(np.repeat(np.arange(len(sizes)) % len(mixture.sizes), sizes), np.int64)
    rows = epoch_rows(mixture, epoch)
    sets = np.repeat(np.arange(len(rows)), rows)
    places = np.concatenate([(np.arange(count) + 0.5) / max(count, 1) for count in rows])
    return np.asarray(sets[np.lexsort((sets, places))], np.int64)


def _taken(numbers: Ints, block: int, seed: int, before: int, count: int) -> Ints:
    """Returns the next rows of a set, of which some were taken before; one pass after the other."""
    first, skipped = divmod(before, len(numbers))
    passes = -(-(skipped + count) // len(numbers))
    orders = [epoch_order(numbers, block, seed, first + each) for each in range(passes)]
    return np.asarray(np.concatenate([numbers[:0], *orders])[skipped : skipped + count], np.int64)

"""The two halves of a batch, whose gradients are independent of each other given the parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hpcmtl.data.shard import shard

if TYPE_CHECKING:
    from hpcmtl.arrays import Floats
    from hpcmtl.communicators.base import Communicator
    from hpcmtl.training.step_input import StepInput


class WholeRows(NamedTuple):
    """Inner products of gradients that were made by halves.

    Attributes:
        between: (objectives, objectives) products of the mean gradients of the first half (rows) with the second's.
        gramian: (objectives, objectives) products of the gradients of the whole batch.
    """

    between: Floats
    gramian: Floats


def halves_of(batch: StepInput, group: Communicator) -> Floats:
    """Returns (2, rows) 1 for the rows of this rank's share in each half, else 0.

    The samples of the whole group's batch take turns, so that halves do not depend on the number of ranks.
    """
    mine = shard(np.arange(batch.global_samples), group.rank, group.size)
    first = (mine % 2 == 0) if len(mine) else np.ones(batch.rows, bool)  # a filler, whose weight is 0
    halves: Floats = np.stack([first, ~first]).astype(np.float64)
    return halves


def whole_rows(products: Floats, samples: int) -> WholeRows:
    """Returns the products of halves and wholes from those of all rows.

    Args:
        products: (2 objectives, 2 objectives) inner products of rows; rows 2k and 2k + 1 are what the first and the
            second half add to the gradient of objective k.
        samples: number of samples of the batch.
    """
    first, second = (samples + 1) // 2, samples // 2
    between = products[0::2, 1::2]
    gramian = between + between.T + products[0::2, 0::2] + products[1::2, 1::2]
    # What a half adds is its mean gradient times its share of the samples; a batch of one has no second half.
    return WholeRows(between * (samples / first) * (samples / max(second, 1)), gramian)

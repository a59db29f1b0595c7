"""The order of an epoch, defined over the whole split, so that it does not depend on the number of ranks.

Blocks (runs of neighbouring samples, one chunk of the file) are shuffled, then the samples inside each window of
`WINDOW_BLOCKS` shuffled blocks. Each block is so read once, in one piece, while its samples are spread
over a window. Pure functions of their arguments; no input or output.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hpcmtl.data.keys import random_keys

if TYPE_CHECKING:
    from numpy.typing import NDArray

WINDOW_BLOCKS = 16


def epoch_order(indices: NDArray[np.int64], block: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """Return the samples of one epoch in the order of training.

    Args:
        indices: (n,) ascending numbers of the samples in the split.
        block: samples in a block; sample i lies in block i // block.
        seed: of the whole training.
        epoch: counted from 0.

    Returns:
        (n,) the same numbers, each once.
    """
    blocks, block_of = np.unique(indices // block, return_inverse=True)
    place = np.empty(len(blocks), dtype=np.int64)
    place[np.argsort(random_keys(blocks, seed, epoch, 0), kind="stable")] = np.arange(len(blocks))
    window = place[block_of] // WINDOW_BLOCKS
    order: NDArray[np.int64] = indices[np.lexsort((random_keys(indices, seed, epoch, 1), window))]
    return order


def windows(order: NDArray[np.int64], block: int) -> NDArray[np.int64]:
    """Return for each position of an `epoch_order` the number of its window, ascending from 0."""
    _, first_seen = np.unique(order // block, return_index=True)
    new_block = np.zeros(len(order), dtype=np.int64)
    new_block[first_seen] = 1
    # Every block of a window appears before the first of the next, so counting blocks counts windows.
    return (np.cumsum(new_block) - 1) // WINDOW_BLOCKS


def batches_per_epoch(samples: int, batch_size: int) -> int:
    """Return the global steps of an epoch; the last may be a short batch."""
    return -(-samples // batch_size)


def global_batch(order: NDArray[np.int64], step: int, batch_size: int) -> NDArray[np.int64]:
    """Return the samples of one global step, before they are shared out; a view of `order`."""
    return order[step * batch_size : (step + 1) * batch_size]

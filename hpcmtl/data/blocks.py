"""Order of an epoch, defined over the whole split and therefore independent of the number of ranks.

Blocks (runs of neighbouring samples, one chunk of the file) are shuffled, then the samples inside each window of
`WINDOW_BLOCKS` shuffled blocks. Each block is thus read once, in one piece, while its samples are spread over a window.
All functions are pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hpcmtl.data.keys import random_keys

if TYPE_CHECKING:
    from hpcmtl.arrays import Ints

WINDOW_BLOCKS = 16
_COPY_BIT = 40


def epoch_order(indices: Ints, block: int, seed: int, epoch: int, copies: Ints | None = None) -> Ints:
    """Returns the samples of one epoch in training order.

    Args:
        indices: (n,) ascending numbers of the samples, each below 2**40.
        block: samples per block; sample i is in block i // block.
        seed: seed of the whole training.
        epoch: epoch, counted from 0.
        copies: (n,) for numbers that are repeated: which copy of its number each is, from 0; None if all differ.

    Returns:
        (n,) the same numbers, each as often as it was given.
    """
    blocks, block_of = np.unique(indices // block, return_inverse=True)
    place = np.empty(len(blocks), dtype=np.int64)
    place[np.argsort(random_keys(blocks, seed, epoch, 0), kind="stable")] = np.arange(len(blocks))
    window = place[block_of] // WINDOW_BLOCKS
    names = indices if copies is None else indices + (copies << _COPY_BIT)  # or copies would stand side by side
    order: Ints = indices[np.lexsort((random_keys(names, seed, epoch, 1), window))]
    return order


def windows(order: Ints, block: int) -> Ints:
    """Returns the window number of each position of an `epoch_order`, ascending from 0.

    An order that comes back to earlier blocks, as that of several sets, has windows of at most as many samples.
    """
    _, first_seen = np.unique(order // block, return_index=True)
    new_block = np.zeros(len(order), dtype=np.int64)
    new_block[first_seen] = 1
    # Every block of a window appears before the first of the next, so counting blocks counts windows.
    window = (np.cumsum(new_block) - 1) // WINDOW_BLOCKS
    begins = np.searchsorted(window, window)
    part = (np.arange(len(order)) - begins) // (WINDOW_BLOCKS * block)
    return np.cumsum(np.diff(window, prepend=0) + (np.diff(part, prepend=0) > 0)) if part.any() else window


def batches_per_epoch(samples: int, batch_size: int) -> int:
    """Returns the number of global steps per epoch; the last batch may be short."""
    return -(-samples // batch_size)


def global_batch(order: Ints, step: int, batch_size: int) -> Ints:
    """Returns the samples of one global step of all ranks; a view of `order`."""
    return order[step * batch_size : (step + 1) * batch_size]

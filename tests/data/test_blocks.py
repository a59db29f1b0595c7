"""Tests of hpcmtl.data.blocks and of its fit with hpcmtl.data.shard."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hpcmtl.data.blocks import WINDOW_BLOCKS, batches_per_epoch, epoch_order, global_batch, windows
from hpcmtl.data.shard import shard

INDICES = st.lists(st.integers(0, 2000), min_size=1, max_size=300, unique=True).map(
    lambda numbers: np.array(sorted(numbers))
)
BLOCK = st.integers(1, 40)


@given(INDICES, BLOCK, st.integers(0, 2**63), st.integers(0, 100))
def test_each_sample_once_per_epoch(indices, block, seed, epoch):
    """An order is a permutation of the split, the same each time it is asked for."""
    order = epoch_order(indices, block, seed, epoch)

    assert np.array_equal(indices, np.sort(order))
    assert np.array_equal(order, epoch_order(indices, block, seed, epoch))


@given(INDICES, BLOCK, st.integers(0, 2**63))
def test_windows_hold_whole_blocks(indices, block, seed):
    """A block lies in one window, a window holds at most so many blocks, and windows follow each other."""
    order = epoch_order(indices, block, seed, 0)
    window = windows(order, block)

    assert np.all(np.diff(window) >= 0)
    pairs = np.unique(np.stack([order // block, window]), axis=1)
    assert len(np.unique(pairs[0])) == pairs.shape[1]
    assert np.all(np.bincount(pairs[1])[:-1] == WINDOW_BLOCKS)
    assert 0 < np.bincount(pairs[1])[-1] <= WINDOW_BLOCKS


@given(INDICES, st.integers(1, 70), st.integers(1, 9), st.integers(0, 10))
def test_ranks_share_every_batch_without_gap_or_overlap(indices, batch_size, group_size, seed):
    """Put together, the shards are the batches, and the batches are the epoch, for any size of the group."""
    order = epoch_order(indices, 8, seed, 0)
    shared = [
        shard(global_batch(order, step, batch_size), rank, group_size)
        for step in range(batches_per_epoch(len(indices), batch_size))
        for rank in range(group_size)
    ]

    assert np.array_equal(order, np.concatenate(shared))
    assert all(len(global_batch(order, s, batch_size)) > 0 for s in range(len(shared) // group_size))


def test_epochs_and_seeds_differ():
    """Another epoch or another seed is another order, of blocks and inside of a block."""
    for block in (1, 8, 1000):
        orders = {tuple(epoch_order(np.arange(200), block, seed, epoch)) for seed in (1, 2) for epoch in (0, 1)}

        assert len(orders) == 4


def test_shuffle_reaches_across_blocks():
    """Neighbours in the file are far apart in training: a batch draws on most blocks of a window."""
    order = epoch_order(np.arange(16 * 100), 100, 1, 0)

    assert len(np.unique(order[:64] // 100)) > 10


def test_order_never_changes():
    """A cursor in an old checkpoint relies on this very order."""
    assert epoch_order(np.arange(10), 3, 7, 0).tolist() == [3, 6, 9, 1, 2, 7, 4, 0, 5, 8]

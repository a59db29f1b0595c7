"""Rows of gradients are summed by shards: sums, inner products and gathered values are those of plain numpy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcmtl.communicators.inproc import run_ranks
from hpcmtl.training.multitask.shard_sums import Shards


@given(ranks=st.integers(1, 5), rows=st.integers(1, 4), size=st.integers(0, 40), seed=st.integers(0, 99))
def test_shards_are_those_of_the_sum(ranks, rows, size, seed):
    """Shards together are the sum over the ranks, their Gramian is that of the sum, and the padding counts nothing."""
    of_ranks = np.random.default_rng(seed).normal(size=(ranks, rows, size)).astype(np.float32)

    def on_rank(group):
        shards = Shards(group, size)
        mine = np.zeros((rows, shards.width), np.float32)
        mine[:, :size] = of_ranks[group.rank]
        summed = shards.summed(mine, range(rows))
        return summed, shards.gramian(summed), shards.gathered(summed), shards.gathered(summed[0])

    total = of_ranks.astype(np.float64).sum(axis=0)
    for summed, gramian, whole, first in run_ranks(ranks, on_rank):
        assert summed.shape == (rows, -(-size // ranks))
        np.testing.assert_allclose(gramian, total @ total.T, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(whole[:, :size], total, rtol=1e-5, atol=1e-5)
        np.testing.assert_array_equal(first, whole[0])


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_a_state_of_shards_goes_to_another_number_of_ranks(ranks):
    """A state that is gathered and cut is the same; numbers without axes are left alone."""
    values, size = np.arange(14, dtype=np.float64).reshape(2, 7), 7

    def on_rank(group):
        shards = Shards(group, size)
        mine = shards.cut_state({"mean": values, "step": np.array(3)})
        return mine, shards.gathered_state(mine)

    for mine, whole in run_ranks(ranks, on_rank):
        assert mine["mean"].shape == (2, -(-size // ranks))
        np.testing.assert_array_equal(whole["mean"], values)
        assert whole["step"] == 3


@pytest.mark.parametrize("ranks", [2, 4])
def test_the_bytes_of_a_step(ranks):
    """A rank sends (T + 1) d (n - 1) / n values, where a sum of all rows on all ranks takes 2 T d (n - 1) / n."""
    rows, size, sent = 10, 4096, []

    class Counting:
        def __init__(self, group):
            self.group, self.values = group, 0

        def __getattr__(self, name):
            return getattr(self.group, name)

        def Reduce_scatter_block(self, array, block):  # noqa: N802 - as in mpi4py
            self.values += array.size - block.size
            self.group.Reduce_scatter_block(array, block)

        def Allgather(self, block, array):  # noqa: N802 - as in mpi4py
            self.values += array.size - block.size
            self.group.Allgather(block, array)

    def on_rank(group):
        shards = Shards(Counting(group), size)
        summed = shards.summed(np.ones((rows, shards.width), np.float32), range(rows))
        shards.gramian(summed)
        shards.gathered(summed.sum(axis=0))
        sent.append(shards.group.values)

    run_ranks(ranks, on_rank)

    assert set(sent) == {(rows + 1) * size * (ranks - 1) // ranks}

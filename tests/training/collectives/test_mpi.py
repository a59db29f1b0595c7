"""The collective over numpy views reduces many arrays by few messages, whatever their layout."""

from __future__ import annotations

import numpy as np
import pytest

from hpcmtl.communicators.inproc import run_ranks
from hpcmtl.training.collectives import mpi


class Counting:
    """A group that counts its reductions."""

    def __init__(self, group):
        self.group, self.size, self.sizes = group, group.size, []

    def Allreduce(self, array, op="sum"):  # noqa: N802 - the name of mpi4py
        self.sizes.append(array.size)
        self.group.Allreduce(array, op)

    def Bcast(self, array, root=0):  # noqa: N802 - the name of mpi4py
        self.group.Bcast(array, root)


@pytest.mark.parametrize(("limit", "sizes"), [(1 << 20, [16]), (24, [6, 10]), (4, [1, 5, 10])])
def test_arrays_are_reduced_in_buckets(monkeypatch, limit, sizes):
    """Arrays share a message up to the size of a bucket; a larger one has a message of its own."""
    monkeypatch.setattr(mpi, "BUCKET_BYTES", limit)

    def on_rank(group):
        counting = Counting(group)
        arrays = [np.full(size, group.rank, np.float32) for size in (1, 5, 10)]
        mpi.MpiCollective(counting).mean(arrays)
        return counting.sizes, arrays

    for found, arrays in run_ranks(3, on_rank):
        assert found == sizes
        assert all((array == 1).all() for array in arrays)


def test_arrays_of_any_layout():
    """Arrays that are not contiguous, empty or of no dimension are reduced and broadcast in place."""

    def on_rank(group):
        whole = np.zeros((4, 6), np.float32)
        scalar, empty = np.full((), group.rank, np.float32), np.zeros((0, 3), np.float32)
        part = whole[::2, 1:3]
        part[...] = group.rank + 1
        collective = mpi.MpiCollective(group)
        collective.mean([part, scalar, empty])
        means = whole.copy(), float(scalar)
        part[...], scalar[...] = group.rank, group.rank
        collective.broadcast([part.T, scalar, empty])
        return means, whole, float(scalar)

    for (mean, middle), whole, first in run_ranks(3, on_rank):
        assert mean.sum() == 2 * 4
        assert (middle, first) == (1.0, 0.0)
        assert not whole.any()

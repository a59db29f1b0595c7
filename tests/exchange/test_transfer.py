"""Arrays reach every rank of a group bit for bit, and rows come together in the order of the ranks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcmtl.communicators.inproc import RankFailedError, run_ranks
from hpcmtl.exchange.store import DamagedFileError
from hpcmtl.exchange.transfer import gather_rows, share

ARRAYS = {
    "weight": np.arange(12, dtype=np.float32).reshape(3, 4),
    "transposed": np.arange(12, dtype=np.float16).reshape(3, 4).T,
    "count": np.array(7),
    "empty": np.zeros((0, 3), np.uint8),
    "flags": np.array([True, False, True]),
}


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_share(ranks):
    """Only the first rank reads; all have its arrays, scalar and empty ones too, and its facts."""

    def shared(group):
        reads = []

        def read():
            reads.append(group.rank)
            return ARRAYS, {"step": 3}

        return (*share(group, read), reads)

    for rank, (arrays, facts, reads) in enumerate(run_ranks(ranks, shared)):
        assert reads == ([0] if rank == 0 else [])
        assert facts == {"step": 3}
        assert arrays.keys() == ARRAYS.keys()
        for name, array in ARRAYS.items():
            assert (arrays[name].dtype, arrays[name].shape) == (array.dtype, array.shape)
            assert np.array_equal(arrays[name], array)


def test_what_was_shared_is_each_ranks_own():
    """A rank that changes its arrays changes no other's."""

    def shared(group):
        arrays, _ = share(group, lambda: ({"a": np.zeros(3)}, None))
        arrays["a"] += group.rank
        group.barrier()
        return arrays["a"].tolist()

    assert run_ranks(3, shared) == [[0.0] * 3, [1.0] * 3, [2.0] * 3]


def test_an_error_of_the_reader_is_raised_by_all():
    """No rank waits for arrays that will not come."""

    def failing(group):
        def read():
            raise DamagedFileError("layer-000.h5 is not sealed")

        with pytest.raises(DamagedFileError, match="layer-000.h5 is not sealed"):
            share(group, read)
        return True

    assert run_ranks(3, failing) == [True] * 3


@settings(max_examples=min(60, settings.default.max_examples))
@given(
    st.lists(st.integers(0, 4), min_size=1, max_size=4),
    st.sampled_from([(), (2,), (2, 3)]),
    st.sampled_from([np.float32, np.float16, np.int64, np.bool_]),
    st.booleans(),
)
def test_gather_rows(counts, shape, dtype, ignorant):
    """Ranks may have any number of rows; those that have none need not know what the others' look like."""
    generator = np.random.default_rng(1)
    rows = [generator.integers(0, 100, (count, *shape)).astype(dtype) for count in counts]

    def gathered(group):
        mine = rows[group.rank]
        return gather_rows(group, np.empty((0,)) if ignorant and not len(mine) else mine)

    first, *others = run_ranks(len(counts), gathered)
    expected = np.concatenate(rows)

    assert others == [None] * len(others)
    assert np.array_equal(first, expected if sum(counts) else first)
    assert len(first) == sum(counts)
    if sum(counts):
        assert (first.dtype, first.shape) == (expected.dtype, expected.shape)


def test_rows_that_nobody_has():
    """Where no rank has a row, the result is as empty as the array of the first rank."""
    mine = np.zeros((0, 3), np.float32), np.zeros((0,), np.int64)
    first, _ = run_ranks(2, lambda group: gather_rows(group, mine[group.rank]))

    assert (first.dtype, first.shape) == (np.float32, (0, 3))


def test_rows_that_do_not_fit_are_an_error():
    """Ranks with rows of different shapes are told, instead of mixing numbers."""
    with pytest.raises(RankFailedError, match="bytes came for an array of"):
        run_ranks(2, lambda group: gather_rows(group, np.zeros((2, 3 + group.rank))))

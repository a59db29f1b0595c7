"""A reduction over a group has the same bits on any number of ranks, and its errors name the rows."""

from __future__ import annotations

import math
from itertools import chain, pairwise

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcmtl.communicators.inproc import RankFailedError, run_ranks
from hpcmtl.errors import InputError, TaskFailedError
from hpcmtl.training.map_reduce import Partial, blocks_of_rank, map_reduce, merged

VALUES = np.random.default_rng(3).normal(size=1000) * 10.0 ** np.random.default_rng(4).integers(-8, 8, 1000)


def tree(count):
    """Returns the tree of values 0 to count - 1 as nested pairs: full halves to the left, the rest to the right."""
    if count == 1:
        return lambda first: first
    half = 2 ** (math.ceil(math.log2(count)) - 1)
    return lambda first: (tree(half)(first), tree(count - half)(first + half))


@given(st.lists(st.integers(0, 20), min_size=1, max_size=6).filter(any))
def test_the_tree_depends_on_the_number_of_blocks_alone(sizes):
    """However blocks are dealt to ranks, their values are combined in the same pairs, in order."""
    count = sum(sizes)
    bounds = np.cumsum([0, *sizes])

    def pair(left, right):
        return left, right

    parts = [
        merged((Partial(0, block, block, block, block) for block in range(start, stop)), pair)
        for start, stop in pairwise(bounds.tolist())
    ]
    *before, node = merged(chain.from_iterable(parts), pair)
    value = node.value
    for left in reversed(before):
        value = (left.value, value)

    assert value == tree(count)(0)
    assert all(len(part) <= 2 * math.log2(count + 1) for part in parts)


def total(ranks, block=7, rows=VALUES):
    """Returns the sum of the values on each rank."""
    return run_ranks(
        ranks, lambda group: map_reduce(rows, lambda part, _: part.sum(), lambda a, b: a + b, group, block=block)
    )


@pytest.mark.parametrize("ranks", [1, 2, 3, 5])
def test_a_sum_has_the_same_bits_on_any_ranks(ranks):
    """It is one number on all ranks, of the size that `math.fsum` gives."""
    found = total(ranks)

    assert set(found) == {total(1)[0]}
    assert found[0] == pytest.approx(math.fsum(VALUES), rel=1e-12)


def test_more_ranks_than_blocks():
    """Ranks without a block wait for the value."""
    assert total(4, block=900) == [VALUES[:900].sum() + VALUES[900:].sum()] * 4


@given(st.sets(st.integers(0, 999), min_size=1, max_size=40), st.integers(1, 300))
def test_chosen_rows_reach_map_with_their_numbers(chosen, block):
    """Each chosen row is mapped once, in order, in a block of fixed bounds, on two ranks."""
    numbers = np.array(sorted(chosen))

    def listed(rows, of_rows):
        assert len(set(of_rows // block)) == 1
        return list(zip(rows.tolist(), of_rows.tolist(), strict=True))

    found = run_ranks(
        2, lambda group: map_reduce(VALUES, listed, lambda a, b: a + b, group, numbers=numbers, block=block)
    )

    assert found == [[(VALUES[number], number) for number in numbers]] * 2


def failing(mapper, reducer=lambda a, b: a + b, ranks=3, rows=VALUES, numbers=None):
    """Returns the error of the ranks."""
    with pytest.raises(RankFailedError) as error:
        run_ranks(ranks, lambda group: map_reduce(rows, mapper, reducer, group, numbers=numbers, block=100))
    return error.value.__cause__


def test_a_failed_map_names_the_first_rows_on_all_ranks():
    """Two ranks fail; the error of the earlier rows counts, and no rank waits."""

    def odd(rows, numbers):
        if numbers[0] >= 500:
            raise ZeroDivisionError("no rows")
        return 0

    error = failing(odd)

    assert isinstance(error, TaskFailedError)
    assert str(error) == "map failed for rows 500 to 599 (ZeroDivisionError: no rows)"


@pytest.mark.parametrize("ranks", [1, 3])
def test_a_failed_reduce_names_the_rows_of_both_values(ranks):
    """On the rank that combines them."""
    error = failing(lambda rows, numbers: {}, ranks=ranks)

    assert isinstance(error, TaskFailedError)
    assert str(error).startswith("reduce failed for rows 0 to 199 (TypeError: unsupported operand")


@pytest.mark.parametrize("ranks", [1, 2])
def test_a_value_that_does_not_pickle_is_named(ranks):
    """On any number of ranks, one included."""
    error = failing(lambda rows, numbers: len, lambda a, b: lambda: 0, ranks=ranks)

    assert str(error).startswith("pickle of the value failed for rows 0 to ")


def test_rows_that_cannot_be_read_fail_all_ranks():
    """A read that only one rank tries ends the wait of the others."""

    class Damaged:
        def __len__(self):
            return 1000

        def __getitem__(self, span):
            if span.start >= 600:
                raise OSError("no such sector")
            return VALUES[span]

    error = failing(lambda rows, numbers: rows.sum(), rows=Damaged())

    assert str(error) == "rows cannot be read (OSError: no such sector)"


def test_no_row_has_no_value():
    """It is refused on all ranks alike."""
    assert isinstance(failing(lambda rows, numbers: 0, numbers=np.empty(0, np.int64)), InputError)


def test_rows_of_a_file_are_read_by_slices(tmp_path):
    """A memory map and a dataset of HDF5 give the sum of the array."""
    np.save(tmp_path / "a.npy", VALUES)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = VALUES
        for rows in (np.load(tmp_path / "a.npy", mmap_mode="r"), file["x"]):
            assert total(1, rows=rows) == total(1)


def test_blocks_are_dealt_in_order():
    """Each block belongs to one rank, and later ranks have later blocks."""
    numbers = np.array([0, 1, 9, 10, 11, 35, 36, 99])
    dealt = run_ranks(3, lambda group: [(place, rows.tolist()) for place, rows in blocks_of_rank(numbers, 10, group)])

    assert list(chain.from_iterable(dealt)) == [(0, [0, 1, 9]), (1, [10, 11]), (2, [35, 36]), (3, [99])]


@pytest.mark.parametrize("numbers", [[5, 3, 7], [5, 5], [-1, 2], [True, False]])
def test_numbers_that_do_not_ascend_are_refused(numbers):
    """Rows read twice, from behind or by a mask would give another value without a word."""
    error = failing(lambda rows, _: rows.sum(), ranks=1, numbers=np.array(numbers))

    assert isinstance(error, InputError)
    assert "do not ascend, each once, from 0" in str(error)

"""Splits: what no split may do, for any sizes, groups, times and folds."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcmtl.data.sealing.rules import SplitRule
from hpcmtl.data.sealing.splitting import fold_codes, grouped_codes, time_codes
from hpcmtl.data.split import hash_codes, split_by_hash

FRACTIONS = st.sampled_from([(0.8, 0.1, 0.1), (0.5, 0.25, 0.25), (1.0, 0.0, 0.0), (0.7, 0.0, 0.3)])
GROUPS = st.lists(st.integers(0, 20), min_size=1, max_size=200)


@given(st.integers(0, 300), st.integers(0, 300), FRACTIONS, st.integers(0, 5))
def test_hash_codes_are_those_of_the_whole(first, second, fractions, seed):
    """A range of rows has the split that `split_by_hash` gives these rows."""
    start, stop = sorted((first, second))

    assert np.array_equal(hash_codes(start, stop, fractions, seed), split_by_hash(stop, fractions, seed)[start:])


@given(GROUPS, FRACTIONS, st.integers(0, 5))
def test_no_group_is_on_both_sides(names, fractions, seed):
    """All rows of a group have one split, and shares are off by at most the largest group."""
    _, groups = np.unique(names, return_inverse=True)
    codes = grouped_codes(groups, fractions, seed)
    largest = np.bincount(groups).max() / len(groups)

    assert all(len(set(codes[groups == group])) == 1 for group in set(groups))
    shares = np.bincount(codes, minlength=3) / len(codes)
    assert np.all(np.abs(np.cumsum(shares) - np.cumsum(fractions)) <= largest + 1e-9)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=200), FRACTIONS)
def test_nothing_later_is_in_an_earlier_split(times, fractions):
    """Times of train come before those of val, these before those of test; equal times are in one split."""
    times = np.array(times)
    codes = time_codes(times, fractions)

    ends = [times[codes == code] for code in range(3)]
    present = [part for part in ends if len(part)]
    assert all(before.max() < after.min() for before, after in pairwise(present))


def test_different_times_have_exact_shares():
    """Without equal times the shares are exact."""
    codes = time_codes(np.random.default_rng(0).permutation(1000), (0.7, 0.1, 0.2))

    assert np.bincount(codes).tolist() == [700, 100, 200]


@given(st.integers(2, 10), st.integers(0, 9), st.integers(1, 200), st.integers(0, 3))
def test_each_row_is_a_test_row_of_one_fold(folds, val, rows, seed):
    """The test splits of all folds are disjoint and have every row; a validation fold is another one."""
    rules = [SplitRule(by="folds", folds=folds, fold=fold, seed=seed) for fold in range(folds)]
    tests = np.sum([fold_codes(0, rows, rule) == 2 for rule in rules], axis=0)
    val = val % folds
    other = SplitRule(by="folds", folds=folds, fold=(val + 1) % folds, val_fold=val, seed=seed)

    assert np.all(tests == 1)
    assert np.array_equal(fold_codes(0, rows, other) == 1, fold_codes(0, rows, rules[val]) == 2)


@pytest.mark.parametrize("start", [0, 7])
def test_folds_do_not_depend_on_the_blocks(start):
    """A row has one fold wherever the block begins."""
    rule = SplitRule(by="folds", folds=4, fold=1)

    assert np.array_equal(fold_codes(start, 50, rule), fold_codes(0, 50, rule)[start:])

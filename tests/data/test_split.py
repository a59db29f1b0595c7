"""Tests of hpcmtl.data.split."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcmtl.data.split import split_by_hash
from hpcmtl.errors import InputError

FRACTIONS = [0.76, 0.04, 0.2]


def test_stratified_split_is_exact_in_every_class():
    """500 samples of each of 10 classes give exactly 380, 20 and 100 of each."""
    classes = np.repeat(np.arange(10), 500)
    split = split_by_hash(5000, FRACTIONS, 1, stratify=classes)

    assert all(np.bincount(split[classes == label]).tolist() == [380, 20, 100] for label in range(10))


@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.integers(0, 2**63))
def test_stratified_counts_are_within_one_of_the_shares(classes, seed):
    """Whatever the class sizes, each share of each class is off by less than one sample."""
    labels = np.array(classes)
    split = split_by_hash(len(labels), FRACTIONS, seed, stratify=labels)

    for label in np.unique(labels):
        counts = np.bincount(split[labels == label], minlength=3)
        assert np.abs(counts - np.array(FRACTIONS) * counts.sum()).max() < 1


def test_equal_remainders_go_to_the_earlier_share():
    """Of 182 samples 127.4, 18.2 and 36.4 are due: the one left over is for training."""
    split = split_by_hash(182, [0.7, 0.1, 0.2], 1, stratify=np.zeros(182))

    assert np.bincount(split).tolist() == [128, 18, 36]


def test_plain_split_keeps_old_samples_when_new_ones_are_appended():
    """A grown data set never moves a test sample into training."""
    small = split_by_hash(1000, FRACTIONS, 3)
    grown = split_by_hash(5000, FRACTIONS, 3)

    assert np.array_equal(small, grown[:1000])
    assert np.abs(np.bincount(grown) / 5000 - FRACTIONS).max() < 0.02


def test_seed_decides():
    """The same seed gives the same split, another seed another one."""
    assert np.array_equal(split_by_hash(500, FRACTIONS, 1), split_by_hash(500, FRACTIONS, 1))
    assert not np.array_equal(split_by_hash(500, FRACTIONS, 1), split_by_hash(500, FRACTIONS, 2))


def test_all_bad_arguments_are_told_at_once():
    """Fractions that do not sum to 1 and classes of another length are two problems in one error."""
    with pytest.raises(InputError) as caught:
        split_by_hash(10, [0.5, 0.6, 0.1], 1, stratify=np.zeros(9))

    assert len(caught.value.problems) == 2
    assert "[0.5, 0.6, 0.1]" in str(caught.value)


@pytest.mark.parametrize("fractions", [[80, 10, 10], [0.5, 0.5], [1.2, -0.1, -0.1]])
def test_the_rule_of_the_shares_is_said(fractions):
    """Percentages, two shares and a negative one are refused with the rule that they break."""
    with pytest.raises(InputError, match="three numbers from 0 to 1 whose sum is 1"):
        split_by_hash(10, fractions, 1)

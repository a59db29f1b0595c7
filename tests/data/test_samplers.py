"""Samplers choose samples by classes and weights, alike at each call, and otherwise in another epoch."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcmtl.data.blocks import epoch_order
from hpcmtl.data.samplers import BalancedSampler, WeightedSampler, k_shot

SEED, EPOCH = st.integers(0, 2**63), st.integers(0, 50)


@st.composite
def members(draw, least=1):
    """The places of the samples of some classes, of different sizes, mixed over a split."""
    sizes = draw(st.lists(st.integers(least, 30), min_size=1, max_size=6))
    classes = np.array(draw(st.permutations(np.repeat(np.arange(len(sizes)), sizes).tolist())))
    return tuple(np.flatnonzero(classes == each) for each in range(len(sizes)))


@given(members(), st.integers(1, 200), SEED, EPOCH)
def test_balanced_classes_are_equally_often(classes, samples, seed, epoch):
    """Classes differ by at most one sample in an epoch, and the samples of a class by at most one time."""
    sampler = BalancedSampler(classes, samples)
    places = sampler.places(seed, epoch)
    times = np.bincount(places, minlength=sum(map(len, classes)))
    of_classes = [times[each].sum() for each in classes]

    assert len(places) == sampler.samples == samples
    assert np.all(np.diff(places) >= 0)
    assert max(of_classes) - min(of_classes) <= 1
    assert all(np.ptp(times[each]) <= 1 for each in classes)
    assert np.array_equal(places, sampler.places(seed, epoch))


def test_over_epochs_each_sample_of_a_class_is_taken_alike():
    """Nine classes share 90 samples an epoch; in 300 epochs each sample of a class of 40 is taken 75 times or so."""
    sampler = BalancedSampler(tuple(np.arange(40) + 40 * number for number in range(9)), 90)
    times = sum(np.bincount(sampler.places(1, epoch), minlength=360) for epoch in range(300))

    assert abs(times - 75).max() < 45  # six standard deviations of 7.5
    assert np.std(times) < 10


@given(st.lists(st.sampled_from([0.0, 0.25, 1.0, 5.0]), min_size=1, max_size=40).filter(any), SEED, EPOCH)
def test_samples_of_weight_0_are_not_drawn(weights, seed, epoch):
    """All draws are places of samples with a weight."""
    places = WeightedSampler(np.cumsum(weights), 60).places(seed, epoch)

    assert len(places) == 60
    assert np.all(np.diff(places) >= 0)
    assert all(weights[place] > 0 for place in places)


def test_draws_have_the_shares_of_the_weights():
    """A chi-squared test of 100,000 draws, and the variance of draws that do not know of each other."""
    from scipy.stats import chisquare

    weights = np.array([0.0, 1.0, 2.0, 0.5, 0.0, 6.5])
    sampler = WeightedSampler(np.cumsum(weights), 1000)
    counts = np.stack([np.bincount(sampler.places(3, epoch), minlength=6) for epoch in range(100)])
    drawn = weights > 0

    assert chisquare(counts.sum(axis=0)[drawn], 1e5 * weights[drawn] / weights.sum()).pvalue > 0.001
    assert counts[:, 2].var() == pytest.approx(1000 * 0.2 * 0.8, rel=0.5)


@given(members(least=5), st.integers(1, 5), SEED)
def test_k_shot_takes_k_of_each_class_for_good(classes, k, seed):
    """Each class has k different samples, the same in each epoch."""
    sampler = k_shot(classes, k, seed)

    assert sampler.samples == k * len(classes)
    assert all(len(np.intersect1d(sampler.chosen, each)) == k for each in classes)
    assert np.array_equal(sampler.places(seed, 0), sampler.places(seed, 9))


def test_another_seed_chooses_other_samples():
    """Of 10 in 100 nearly all are others; within a seed, balanced and weighted epochs differ."""
    whole = (np.arange(100),)
    balanced, weighted = BalancedSampler(whole, 10), WeightedSampler(np.arange(1.0, 101), 10)

    assert len(np.intersect1d(k_shot(whole, 10, 1).chosen, k_shot(whole, 10, 2).chosen)) < 6
    assert not np.array_equal(balanced.places(1, 0), balanced.places(1, 1))
    assert not np.array_equal(weighted.places(1, 0), weighted.places(1, 1))


@given(st.lists(st.integers(0, 60), min_size=1, max_size=100).map(sorted), st.integers(1, 9), SEED)
def test_copies_are_shuffled_apart(numbers, block, seed):
    """The order has each number as often as it is drawn; first copies stand in the order that they have alone."""
    numbers = np.array(numbers)
    copies = np.arange(len(numbers)) - np.searchsorted(numbers, numbers)
    order = epoch_order(numbers, block, seed, 3, copies)
    alone = epoch_order(np.unique(numbers), block, seed, 3)

    assert np.array_equal(np.sort(order), numbers)
    if len(alone) == len(numbers):
        assert np.array_equal(order, alone)


def test_copies_do_not_stand_side_by_side():
    """Ten copies of each of 20 samples: few have a neighbour of their own."""
    numbers = np.repeat(np.arange(20), 10)
    order = epoch_order(numbers, 100, 1, 0, np.tile(np.arange(10), 20))

    assert np.count_nonzero(np.diff(order) == 0) < 30

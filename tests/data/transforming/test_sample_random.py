"""Random numbers of samples: the generator, and on what they depend."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from hpcmtl.data.keys import random_keys
from hpcmtl.data.transforming.sample_random import SampleRandom

MASK = (1 << 64) - 1


def splitmix64(seed, count):
    """The generator as its authors wrote it, in whole numbers of Python."""
    found = []
    for _ in range(count):
        seed = (seed + 0x9E3779B97F4A7C15) & MASK
        mixed = ((seed ^ (seed >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & MASK
        found.append(mixed ^ (mixed >> 31))
    return found


def test_the_numbers_are_those_of_splitmix64():
    """Each sample has a generator that its key seeds; a second call goes on where the first one stopped."""
    numbers = np.array([7, 0, 123_456])
    random = SampleRandom(numbers, 5, 2)
    found = np.concatenate([random.uniform(3), random.uniform(2, 2).reshape(3, 4)], axis=1)
    expected = [[bits / 2**64 for bits in splitmix64(int(key), 7)] for key in random_keys(numbers, 5, 2)]

    np.testing.assert_allclose(found, expected, rtol=0, atol=2**-52)


@given(
    numbers=some.lists(some.integers(0, 2**40), min_size=1, max_size=12, unique=True),
    cut=some.integers(0, 12),
    seed=some.integers(0, 2**31),
    epoch=some.integers(0, 1000),
)
def test_a_sample_has_its_own_numbers(numbers, cut, seed, epoch):
    """Whatever batch a sample is in, at whatever place, it draws the same numbers; another epoch gives others."""
    numbers = np.array(numbers)

    def drawn(order, of_epoch=epoch):
        random = SampleRandom(numbers[order], seed, of_epoch)
        values = random.normal(3), random.integers(0, 9, 2), random.uniform()[:, None]
        generated = [each.random() for each in random.generators()]
        return np.column_stack([*values, np.array(generated).reshape(-1, 1)])

    whole, reverse = drawn(slice(None)), drawn(slice(None, None, -1))
    parts = [drawn(slice(None, cut)), drawn(slice(cut, None))]

    assert np.array_equal(whole, reverse[::-1])
    assert np.array_equal(whole, np.concatenate(parts))
    assert not np.array_equal(whole[:, :3], drawn(slice(None), epoch + 1)[:, :3])


def test_the_distributions_are_right():
    """Over samples and over draws, numbers are uniform, normal, and whole numbers of a range, as scipy judges."""
    stats = pytest.importorskip("scipy.stats")
    for shape in ((4, 5000), (5000, 4)):
        random = SampleRandom(np.arange(shape[0]), 1)
        uniform, normal = random.uniform(shape[1]), random.normal(shape[1])
        counts = np.bincount(random.integers(0, 5, shape[1]).ravel(), minlength=5)

        assert stats.kstest(uniform.ravel(), "uniform").pvalue > 1e-3
        assert stats.kstest(normal.ravel(), "norm").pvalue > 1e-3
        assert stats.chisquare(counts).pvalue > 1e-3
        assert (uniform.min() >= 0, uniform.max() < 1) == (True, True)

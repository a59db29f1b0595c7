"""Mean and deviation of features and channels, block by block."""

from __future__ import annotations

from functools import reduce

import numpy as np
import pytest

from hpcmtl.data.transforming.channel_moments import ChannelMoments, channel_moments, completed
from hpcmtl.jobfile.transforms import Noise, Normalise


@pytest.mark.parametrize("shape", [(), (4,), (3, 5, 5)])
def test_blocks_together_have_the_moments_of_all(shape):
    """Blocks of other lengths give the mean and deviation of numpy, far from zero as well."""
    rows = np.random.default_rng(0).normal(1e4, 3, (50, *shape)).astype(np.float32)
    found = reduce(ChannelMoments.merged, map(channel_moments, np.split(rows, [1, 7, 30])))
    axes = tuple(axis for axis in range(rows.ndim) if axis != 1)

    np.testing.assert_allclose(found.mean, rows.mean(axis=axes, dtype=np.float64).ravel(), rtol=1e-12)
    np.testing.assert_allclose(found.deviation, rows.std(axis=axes, dtype=np.float64).ravel(), rtol=1e-9)


def test_a_constant_feature_has_deviation_one():
    """A value that is always the same can be divided by its deviation."""
    rows = np.full((9, 2), 0.1, np.float32)
    rows[:, 1] = np.arange(9)

    assert channel_moments(rows).deviation == pytest.approx([1, rows[:, 1].std()])


def test_numbers_are_those_after_the_transforms_before():
    """The second `normalise` is computed after the first one, and not after noise for training."""
    rows, numbers = np.arange(12, dtype=np.float32).reshape(6, 2), np.arange(6)
    given = [Normalise(), Noise(deviation=9.0), Normalise()]
    found = completed(given, 1, lambda chain: channel_moments(chain.changed(rows, numbers, None)))

    assert found[0] == Normalise(mean=(5.0, 6.0), deviation=(np.sqrt(35 / 3).item(),) * 2)
    assert found[1] == given[1]
    np.testing.assert_allclose([found[2].mean, found[2].deviation], [[0, 0], [1, 1]], atol=1e-6)

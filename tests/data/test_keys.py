"""Tests of hpcmtl.data.keys."""

from __future__ import annotations

import numpy as np

from hpcmtl.data.keys import random_keys


def test_keys_never_change():
    """Stored splits and resumed orders rely on these very numbers, on every machine and version."""
    keys = random_keys(np.arange(3), 7, 1)

    assert keys.tolist() == [10893936780310804347, 18143426351604549229, 11842174415623276425]


def test_keys_are_uniform_and_differ_by_salt():
    """Keys fill the 64-bit range evenly, and another salt gives an unrelated sequence."""
    keys = random_keys(np.arange(20_000), 1)
    other = random_keys(np.arange(20_000), 2)
    counts = np.bincount((keys >> np.uint64(60)).astype(np.int64), minlength=16)

    assert len(np.unique(keys)) == 20_000
    assert np.abs(counts - 1250).max() < 5 * np.sqrt(1250)
    assert abs(np.corrcoef(keys.astype(float), other.astype(float))[0, 1]) < 0.03


def test_negative_salt_is_a_salt_like_any_other():
    """A negative seed neither fails nor warns."""
    assert random_keys(np.arange(2), -1).tolist() != random_keys(np.arange(2), 1).tolist()

"""Sums of losses over steps give means over labelled samples, however the steps are cut into pieces."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hpcmtl.training.loss_totals import LossTotals, stored_totals, totals_of

NAMES = ("digit", "size")


@settings(max_examples=60)
@given(
    arrays(np.float64, (6, 2), elements=st.floats(0, 100)),
    arrays(np.float64, (6, 2), elements=st.sampled_from([0.0, 0.25, 0.5, 1.0])),
    st.integers(0, 6),
)
def test_means_are_weighted_by_labelled_samples(losses, shares, cut):
    """Two pieces of an epoch have the mean of the whole; an objective without any label has none."""
    whole = totals_of(losses, shares)
    pieces = [totals_of(losses[part], shares[part]) for part in (slice(cut), slice(cut, None))]
    expected = {
        name: np.average(losses[:, n], weights=shares[:, n]) for n, name in enumerate(NAMES) if shares[:, n].any()
    }

    assert whole.means(NAMES) == pytest.approx(expected)
    assert pieces[0].plus(pieces[1]).means(NAMES) == pytest.approx(expected)
    assert LossTotals().plus(whole) == whole.plus(LossTotals()) == whole


def test_totals_of_earlier_versions_are_taken():
    """A checkpoint with one number of steps for all objectives continues the epoch."""
    assert stored_totals({"steps": 2.5, "sums": [3.0, 4.0]}, 2) == LossTotals((2.5, 2.5), (3.0, 4.0))
    assert stored_totals({"steps": 0, "sums": []}, 2) == LossTotals()
    assert stored_totals({"steps": [2.0, 1.0], "sums": [3.0, 4.0]}, 2) == LossTotals((2.0, 1.0), (3.0, 4.0))

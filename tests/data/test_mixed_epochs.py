"""Tests of hpcmtl.data.mixed_epochs: the rows of several sets, in turn and each as often as the others."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcmtl.data.mixed_epochs import MixedEpochs, sets_of_rows
from hpcmtl.data.mixture import Mixture

SETS = st.lists(st.integers(1, 40), min_size=1, max_size=4)


def plan_of(how, sizes, batch_size=8, **keys):
    """Make the plan of sets that stand one behind the other."""
    mixture = Mixture(how=how, names=tuple(map(str, sizes)), sizes=tuple(sizes), batch_size=batch_size, **keys)
    ends = np.cumsum([0, *sizes])
    return MixedEpochs(mixture, tuple(np.arange(a, b) for a, b in pairwise(ends)))


@given(SETS, st.integers(1, 7), st.integers(0, 2**32), st.sampled_from(["equal", "annealed", "temperature"]))
def test_rows_of_a_set_come_equally_often(sizes, block, seed, how):
    """Over the epochs so far, two rows of a set differ by at most one in how often they came; they are of their set."""
    plan = plan_of(how, sizes, steps=3, oversample=True, epochs=4, temperature=2.0)
    indices = np.arange(sum(sizes)) * 3 + 1  # as in a split of a file
    counts = np.zeros(sum(sizes), int)
    for epoch in range(4):
        order = plan.order(indices, block, seed, epoch)
        places = (order - 1) // 3
        counts += np.bincount(places, minlength=len(counts))

        assert np.array_equal(plan.order(indices, block, seed, epoch), order)
        for number, members in enumerate(plan.members):
            of_set = places[sets_of_rows(plan.mixture, epoch) == number]
            assert np.isin(of_set, members).all()
            assert np.ptp(counts[members]) <= 1


@pytest.mark.parametrize("epoch", [0, 3])
def test_a_proportional_epoch_is_each_row_once(epoch):
    """Without a number of steps, an epoch has each row of each set once, in another order than the epoch before."""
    plan = plan_of("proportional", [30, 11, 2])
    order = plan.order(np.arange(43), 10, 5, epoch)

    assert sorted(order) == list(range(43))
    assert plan.bounds.tolist() == [0, 8, 16, 24, 32, 40, 43]
    assert not np.array_equal(order, plan.order(np.arange(43), 10, 5, epoch + 1))

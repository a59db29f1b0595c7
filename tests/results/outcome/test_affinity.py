"""Objectives are grouped by the cosines between their gradients."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from hpcmtl.results.outcome.affinity import NEAR, affinity_of, groups_of

NAMES = ("one", "copy", "other", "fourth")


def pairs_of(matrix):
    """Cosines by pair, as the events have them."""
    return {f"{a}, {b}": matrix[i][j] for i, a in enumerate(NAMES) for j, b in enumerate(NAMES) if j > i}


def test_two_copies_are_found():
    """The newest layer counts, in which heads are learnt, and the copies are the only group of two."""
    cosines = np.full((4, 4), 0.05)
    later = cosines.copy()
    later[0, 1], later[2, 3] = 0.9, -0.4
    weights = dict.fromkeys(NAMES, 1.0)
    facts = [{"objective_cosines": pairs_of(each), "objective_weights": weights} for each in (cosines, later)]
    found, before = affinity_of([*facts, {}]), affinity_of(facts[:1])

    assert found.groups == (("one", "copy"), ("other",), ("fourth",))
    assert found.cosines == pairs_of(later)
    assert found.text == "one + copy; other; fourth"
    assert before.groups == (("one",), ("copy",), ("other",), ("fourth",))
    assert affinity_of([{}]) is None


@pytest.mark.parametrize("seed", range(20))
def test_groups_are_those_of_scipy(seed):
    """Average linkage joins what scipy joins, down to the least cosine."""
    rows = np.random.default_rng(seed).normal(size=(4, 3))
    rows /= np.linalg.norm(rows, axis=1)[:, None]
    cosines = rows @ rows.T
    labels = fcluster(linkage(squareform(1 - cosines, checks=False), "average"), 1 - NEAR, "distance")
    expected = {frozenset(np.array(NAMES)[labels == label]) for label in set(labels)}

    assert set(map(frozenset, groups_of(NAMES, pairs_of(cosines)))) == expected

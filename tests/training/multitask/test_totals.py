"""The record of a layer has mean weights, and how often gradients were in conflict."""

import numpy as np

from hpcmtl.training.multitask.totals import ObjectiveTotals


def test_means_over_the_steps():
    """Weights and cosines are means over the steps that had them, and a conflict is a negative cosine."""
    totals = ObjectiveTotals(["one", "other"])
    totals.add((1.0, 3.0), np.array([[1.0, -0.5], [-0.5, 1.0]]))
    totals.add((3.0, 1.0), np.array([[1.0, 0.25], [0.25, 1.0]]))
    totals.add((2.0, 2.0), None)
    found = totals.taken()

    assert found == {
        "objective_weights": {"one": 2.0, "other": 2.0},
        "objective_cosines": {"one, other": -0.125},
        "objective_conflicts": {"one, other": 0.5},
    }
    assert totals.taken() == {}


def test_a_weighted_sum_records_nothing():
    """Without the names of objectives neither weights nor cosines are kept."""
    totals = ObjectiveTotals(())
    totals.add((1.0, 3.0), np.eye(2))

    assert totals.taken() == {}

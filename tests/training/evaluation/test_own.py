"""Metrics of the user's get all samples, and are refused where they cannot be metrics."""

from __future__ import annotations

import sys
import types

import numpy as np
import pytest

from hpcmtl.errors import InputError
from hpcmtl.networks.objective import Objective
from hpcmtl.results.undefined import UndefinedValue
from hpcmtl.training.evaluation.labelled import WEIGHTS, objective_metric
from hpcmtl.training.evaluation.metrics import compute
from hpcmtl.training.evaluation.own import TrialRows, try_own_metric
from hpcmtl.training.loop import TARGET


def _spoils(outputs, targets, weights):
    outputs[:], targets[:] = 0, 0
    return len(weights)


@pytest.fixture(autouse=True)
def own(monkeypatch):
    """A module of the user's."""
    module = types.ModuleType("own_measures")
    module.cost = lambda outputs, targets, weights: np.average(np.abs(outputs - targets) ** 3, weights=weights)
    module.spoils = _spoils
    module.broken = lambda outputs, targets, weights: 1 / 0
    module.word = lambda outputs, targets, weights: "good"
    module.none = lambda outputs, targets, weights: np.float32("nan")
    module.two = lambda outputs, targets: 0.0
    module.number = 3
    monkeypatch.setitem(sys.modules, "own_measures", module)


def test_it_gets_outputs_labels_and_weights():
    """Weights are ones, those of the samples, or with missing labels those of single labels, which are 0 then."""
    rng = np.random.default_rng(0)
    made, true, known = rng.normal(size=(9, 2)), rng.normal(size=(9, 2)), rng.random((9, 2)) < 0.5
    weights, costs, name = rng.random(9), np.abs(made - true) ** 3, "own_measures:cost"
    rows = {"main": made[:, 0], f"{TARGET}main": true[:, 0]}
    objective = Objective("main", "t", "l2", 1.0, ())

    assert objective_metric(name, objective, rows) == pytest.approx(costs[:, 0].mean())
    found = objective_metric(name, objective, {**rows, WEIGHTS: weights})
    assert found == pytest.approx(np.average(costs[:, 0], weights=weights))
    partly = {"main": made, f"{TARGET}main": np.where(known, true, np.nan), WEIGHTS: weights}
    found = objective_metric(name, Objective("main", "t", "l2", 1.0, (), missing="nan"), partly)
    assert found == pytest.approx(np.average(costs[known], weights=np.broadcast_to(weights[:, None], (9, 2))[known]))


def test_it_cannot_change_the_rows_of_other_metrics():
    """It gets copies."""
    made, true = np.ones(3), np.full(3, 2.0)

    assert compute("own_measures:spoils", made, true) == 3
    assert compute("mse", made, true) == 1


def test_nan_is_no_value():
    """It has the reason."""
    found = compute("own_measures:none", np.ones(3), np.ones(3))

    assert isinstance(found, UndefinedValue)
    assert found.reason == "own_measures:none returns nan"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("broken", "fails with ZeroDivisionError: division by zero"),
        ("word", "returns a str; return one number"),
        ("two", "cannot be called with (outputs, targets, weights)"),
        ("number", "is a int, not a function"),
        ("absent", "has no attribute 'absent'"),
    ],
)
def test_what_is_no_metric_is_refused_on_trial_rows(name, told):
    """`validate` calls it with a few rows of the shapes that it will get."""
    with pytest.raises(InputError) as error:
        try_own_metric(f"own_measures:{name}", TrialRows((3,), (), classes=3))

    assert told in str(error.value)


def test_trial_rows_have_the_shapes_of_the_task(monkeypatch):
    """Whole numbers below the number of classes, floating point numbers, and weights of single labels."""
    seen = []
    monkeypatch.setattr(sys.modules["own_measures"], "cost", lambda *rows: seen.append(rows) or 0.0)
    for rows in (TrialRows((3,), (), classes=3), TrialRows((2,), (2,), classes=None, partly=True)):
        try_own_metric("own_measures:cost", rows)

    (first, labels, _), (_, targets, weights) = seen
    assert first.shape[1:] == (3,)
    assert set(labels) == {0, 1, 2}
    assert targets.dtype == np.float32
    assert weights.shape == targets.shape
    assert not targets[weights == 0].any()

"""Metrics of classes that give each class the same weight equal scikit-learn's."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hpcmtl.training.evaluation.metrics import compute

FEW_VALUES = st.integers(-2, 2).map(float)


@st.composite
def classified(draw):
    """Scores (n, classes) with many ties, a class for each row, and weights some of which are 0."""
    classes, n = draw(st.integers(2, 5)), draw(st.integers(1, 25))
    scores = draw(arrays(np.float32, (n, classes), elements=FEW_VALUES))
    weights = draw(arrays(np.float64, n, elements=st.sampled_from([0.0, 0.5, 1.0, 3.0])))
    return scores, draw(arrays(np.int64, n, elements=st.integers(0, classes - 1))), weights


@pytest.mark.filterwarnings("ignore")  # scikit-learn names classes that are predicted alone
@settings(max_examples=min(50, settings.default.max_examples))
@given(classified())
def test_metrics_of_classes_equal_scikit_learn(data):
    """Absent classes are left out as scikit-learn does it; samples of weight 0 are as if they were not there."""
    scores, targets, weights = data
    assume(weights.any())
    kept, predicted = weights > 0, scores.argmax(axis=1)

    for name, function in (
        ("balanced_accuracy", sklearn.metrics.balanced_accuracy_score),
        ("f1_macro", lambda *these, **more: sklearn.metrics.f1_score(*these, average="macro", zero_division=0, **more)),
    ):
        assert compute(name, scores, targets) == pytest.approx(function(targets, predicted))
        wanted = function(targets[kept], predicted[kept], sample_weight=weights[kept])
        assert compute(f"weighted_{name}", scores, targets, weights=weights) == pytest.approx(wanted)


def test_a_logit_is_two_classes():
    """One logit a sample above 0 predicts the second class; both classes count."""
    logits, targets = np.array([0.5, -1.0, 2.0, -0.1]), np.array([1, 0, 0, 1])
    wanted = sklearn.metrics.f1_score(targets, logits > 0, average="macro")

    assert compute("f1_macro", logits[:, None], targets[:, None]) == pytest.approx(wanted)
    assert compute("balanced_accuracy", logits, targets) == 0.5


def test_an_absent_class_needs_no_value(caplog, monkeypatch):
    """Unlike the area under a curve, both metrics have a value without one of the classes."""
    monkeypatch.setattr(logging.getLogger("hpcmtl"), "propagate", True)
    scores, targets = np.eye(3), np.array([0, 1, 1])

    assert compute("balanced_accuracy", scores, targets) == pytest.approx(0.75)
    assert compute("f1_macro", scores, targets) == pytest.approx((1 + 2 / 3 + 0) / 3)
    assert not caplog.text

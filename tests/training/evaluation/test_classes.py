"""Metrics of classes that give each class the same weight equal scikit-learn's."""

from __future__ import annotations

import itertools
import logging
from functools import partial

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import softmax

from hpcmtl.results.undefined import UndefinedValue
from hpcmtl.training.evaluation.metrics import compute, confusion_table

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
        ("f1_macro", partial(sklearn.metrics.f1_score, average="macro", zero_division=0)),
        ("precision_macro", partial(sklearn.metrics.precision_score, average="macro", zero_division=0)),
        ("recall_macro", partial(sklearn.metrics.recall_score, average="macro", zero_division=0)),
    ):
        assert compute(name, scores, targets) == pytest.approx(function(targets, predicted))
        wanted = function(targets[kept], predicted[kept], sample_weight=weights[kept])
        assert compute(f"weighted_{name}", scores, targets, weights=weights) == pytest.approx(wanted)


@settings(max_examples=min(50, settings.default.max_examples))
@given(classified())
def test_confusion_matrices_equal_scikit_learn(data):
    """Rows are true classes, also those that are absent; weights are summed."""
    scores, targets, weights = data
    assume(weights.any())
    predicted, classes = scores.argmax(axis=1), range(scores.shape[1])
    wanted = sklearn.metrics.confusion_matrix(targets, predicted, labels=classes)
    weighted = sklearn.metrics.confusion_matrix(targets, predicted, labels=classes, sample_weight=weights)

    assert confusion_table("confusion_matrix", scores, targets, weights).tolist() == wanted.tolist()
    assert confusion_table("weighted_confusion_matrix", scores, targets, weights).tolist() == weighted.tolist()


@pytest.mark.filterwarnings("ignore")  # scikit-learn warns of absent classes
@settings(max_examples=min(50, settings.default.max_examples))
@given(classified(), st.integers(1, 3))
def test_top_k_accuracy_equals_scikit_learn(data, k):
    """Ties included: the class with the higher number goes first."""
    scores, targets, weights = data
    assume(weights.any() and scores.shape[1] > 2)
    function = partial(sklearn.metrics.top_k_accuracy_score, k=k, labels=range(scores.shape[1]))

    assert compute(f"top_k_accuracy@{k}", scores, targets) == pytest.approx(function(targets, scores))
    found = compute(f"weighted_top_k_accuracy@{k}", scores, targets, weights=weights)
    assert found == pytest.approx(function(targets, scores, sample_weight=weights))


@settings(max_examples=min(50, settings.default.max_examples))
@given(classified())
def test_average_precisions_equal_scikit_learn(data):
    """Of the second of two classes; the mean of each class against the rest for more of them."""
    scores, targets, weights = data
    classes, there = scores.shape[1], weights > 0
    assume(len(set(targets[there])) == classes)
    chances = softmax(scores.astype(np.float64), axis=1)
    shown = scores[:, 1].astype(np.float64) - scores[:, 0] if classes == 2 else chances
    truth = targets if classes == 2 else np.eye(classes, dtype=int)[targets]
    function = sklearn.metrics.average_precision_score

    assert compute("average_precision", scores, targets) == pytest.approx(function(truth, shown))
    found = compute("weighted_average_precision", scores, targets, weights=weights)
    assert found == pytest.approx(function(truth, shown, sample_weight=weights))


@settings(max_examples=min(50, settings.default.max_examples))
@given(classified(), st.integers(1, 20))
def test_calibration_errors_equal_a_loop_over_the_bins(data, bins):
    """Each bin holds the confidences above its lower bound and up to its upper one; there are 15 by default."""
    scores, targets, weights = data
    assume(weights.any())
    scores = scores * 0.7  # so that few confidences lie on a bound
    chances = softmax(scores.astype(np.float64), axis=1)
    confidence, right = chances.max(axis=1), scores.argmax(axis=1) == targets

    def reference(number, counts):
        bounds, total = np.linspace(0, 1, number + 1), 0.0
        for low, high in itertools.pairwise(bounds):
            there = (confidence > low) & (confidence <= high)
            total += abs((counts[there] * right[there]).sum() - (counts[there] * confidence[there]).sum())
        return total / counts.sum()

    assume(not np.isclose((confidence * bins) % 1, [[0], [1]], atol=1e-9).any())
    assert compute(f"ece@{bins}", scores, targets) == pytest.approx(reference(bins, np.ones(len(targets))))
    found = compute(f"weighted_ece@{bins}", scores, targets, weights=weights)
    assert found == pytest.approx(reference(bins, weights))
    assert compute("ece", scores, targets) == compute("ece@15", scores, targets)


def test_one_class_has_no_average_precision():
    """The value is NaN, which no comparison prefers, and has its reason."""
    found = compute("average_precision", np.eye(3)[:2], np.array([0, 1]))

    assert isinstance(found, UndefinedValue)
    assert found.reason == "none of the 2 targets is of class 2"
    assert not found > 0
    assert not found < 0


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

"""Metrics of several labels a sample equal scikit-learn's, over all labels and over the known ones."""

from __future__ import annotations

import logging
import math

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hpcmtl.errors import InputError
from hpcmtl.jobfile.metrics import METRICS_OF_LABELS
from hpcmtl.networks.objective import Objective
from hpcmtl.training.evaluation.labelled import WEIGHTS, objective_metric
from hpcmtl.training.evaluation.metrics import compute
from hpcmtl.training.evaluation.tokens import MASK
from hpcmtl.training.loop import TARGET

CURVES = {
    "auc_macro": sklearn.metrics.roc_auc_score,
    "average_precision": sklearn.metrics.average_precision_score,
}
SHARES = {
    "f1": sklearn.metrics.f1_score,
    "precision": sklearn.metrics.precision_score,
    "recall": sklearn.metrics.recall_score,
}
FEW_VALUES = st.integers(-2, 2).map(float)


@st.composite
def labelled(draw):
    """Scores and labels (n, k) with many ties, weights of rows, and which labels are known."""
    shape = draw(st.integers(1, 12)), draw(st.integers(2, 5))
    scores = draw(arrays(np.float32, shape, elements=FEW_VALUES))
    truth = draw(arrays(np.int64, shape, elements=st.integers(0, 1)))
    weights = draw(arrays(np.float64, shape[0], elements=st.sampled_from([0.0, 0.5, 1.0, 3.0])))
    return scores, truth, weights, draw(arrays(np.bool_, shape))


def by_scikit_learn(name, scores, truth, weights=None):
    """The metric of complete labels."""
    predicted = (scores > 0).astype(int)
    if name == "auc_macro":
        return sklearn.metrics.roc_auc_score(truth, scores, average="macro", sample_weight=weights)
    if name == "ranking_loss":
        return sklearn.metrics.label_ranking_loss(truth, scores, sample_weight=weights)
    if name == "hamming_loss":
        return sklearn.metrics.hamming_loss(truth, predicted, sample_weight=weights)
    if name == "subset_accuracy":
        return sklearn.metrics.accuracy_score(truth, predicted, sample_weight=weights)
    if name == "average_precision":
        return sklearn.metrics.average_precision_score(truth, scores, average="macro", sample_weight=weights)
    measure, _, average = name.partition("_")
    return SHARES[measure](truth, predicted, average=average, zero_division=0, sample_weight=weights)


def both_there(truth, known):
    """Returns whether each column with a known label has a known 0 and a known 1."""
    there = known.any(axis=0)
    return there.any() and all(len(set(truth[known[:, k], k])) == 2 for k in np.flatnonzero(there))


@pytest.mark.parametrize("name", METRICS_OF_LABELS)
@settings(max_examples=min(25, settings.default.max_examples))
@given(data=labelled())
def test_complete_labels_equal_scikit_learn(name, data):
    """With and without weights of the samples; a metric without weights ignores them."""
    scores, truth, weights, _ = data
    assume(weights.any())
    if name in CURVES:  # each label is there, and not there
        scores, weights = np.vstack([scores, scores[:1], scores[:1]]), np.append(weights, [0.5, 2.0])
        truth = np.vstack([truth, 0 * truth[:1], 0 * truth[:1] + 1])

    assert compute(name, scores, truth, weights=weights) == pytest.approx(by_scikit_learn(name, scores, truth))
    wanted = by_scikit_learn(name, scores, truth, weights)
    assert compute(f"weighted_{name}", scores, truth, weights=weights) == pytest.approx(wanted, abs=1e-12)


def over_known(name, scores, truth, known, weights):
    """The metric of known labels, by scikit-learn's of single columns, single rows, or all known labels as one list."""
    columns = [k for k in range(truth.shape[1]) if known[:, k].any() and weights[known[:, k]].any()]
    rows = [n for n in range(len(truth)) if known[n].any() and weights[n]]
    entries = np.broadcast_to(weights[:, None], truth.shape)[known]
    predicted = (scores > 0).astype(int)
    if name in CURVES:
        parts = [(truth[known[:, k], k], scores[known[:, k], k], weights[known[:, k]]) for k in columns]
        return np.mean([CURVES[name](y, s, sample_weight=w) for y, s, w in parts])
    share = SHARES.get(name.partition("_")[0])
    if share is not None and name.endswith("_macro"):
        parts = [(truth[known[:, k], k], predicted[known[:, k], k], weights[known[:, k]]) for k in columns]
        return np.mean([share(y, p, sample_weight=w, zero_division=0) for y, p, w in parts])
    if share is not None:
        return share(truth[known], predicted[known], sample_weight=entries, zero_division=0)
    if name == "hamming_loss":
        return sklearn.metrics.zero_one_loss(truth[known], predicted[known], sample_weight=entries)
    if name == "subset_accuracy":
        values = [np.array_equal(truth[n][known[n]], predicted[n][known[n]]) for n in rows]
    else:
        # One known label is no ranking: scikit-learn wants two, of which this one comes twice.
        parts = [(np.repeat(truth[n][known[n]], 2), np.repeat(scores[n][known[n]], 2)) for n in rows]
        values = [sklearn.metrics.label_ranking_loss([y], [s]) for y, s in parts]
    return np.average(values, weights=weights[rows])


@pytest.mark.filterwarnings("ignore")  # scikit-learn warns of columns without a true label
@pytest.mark.parametrize("name", METRICS_OF_LABELS)
@settings(max_examples=min(25, settings.default.max_examples))
@given(data=labelled(), by_mask=st.booleans())
def test_known_labels_equal_scikit_learn(name, data, by_mask):
    """Missing labels, be they NaN or under a mask, do not count, and rows and columns without a known label neither."""
    scores, truth, weights, known = data
    assume((known & (weights[:, None] > 0)).any())
    objective = Objective("main", "t", "sigmoid_bce", 1.0, (), **({"mask": "m"} if by_mask else {"missing": "nan"}))
    labels = truth if by_mask else np.where(known, truth, np.nan)
    rows = {"main": scores, f"{TARGET}main": labels, f"{MASK}main": known.astype(np.uint8), WEIGHTS: weights}

    for form, counts in ((name, np.ones(len(truth))), (f"weighted_{name}", weights)):
        counting = known & (counts[:, None] > 0)
        if name in CURVES and not both_there(truth, counting):
            continue
        wanted = over_known(name, scores, truth, known, counts)
        assert objective_metric(form, objective, rows) == pytest.approx(wanted, abs=1e-12)


def test_the_order_of_rows_does_not_matter():
    """Ranks may be gathered in any order."""
    rng = np.random.default_rng(3)
    scores, truth = rng.integers(-2, 3, (200, 6)).astype(np.float32), rng.integers(0, 2, (200, 6))
    shuffled = rng.permutation(200)

    for name in METRICS_OF_LABELS:
        assert compute(name, scores[shuffled], truth[shuffled]) == pytest.approx(
            compute(name, scores, truth), rel=1e-12
        )


def test_what_has_no_value_says_why(caplog, monkeypatch):
    """A label that is 0 everywhere has no area, and no known label no metric at all."""
    monkeypatch.setattr(logging.getLogger("hpcmtl"), "propagate", True)
    scores, truth = np.zeros((3, 2)), np.array([[0, 0], [1, 0], [0, 0]])

    assert math.isnan(compute("auc_macro", scores, truth))
    assert "the known targets are all alike, 0 or 1, for label 1" in caplog.text
    assert math.isnan(compute("f1_micro", scores, truth, known=np.zeros((3, 2), bool)))
    assert "no label is known" in caplog.text
    assert compute("f1_macro", scores, truth) == 0.0


@pytest.mark.parametrize(
    ("outputs", "targets", "found"),
    [
        (np.zeros((3, 2)), np.zeros((3, 4)), "outputs of shape (3, 2) do not fit targets of shape (3, 4)"),
        (
            np.zeros((3, 2)),
            np.zeros(3),
            "several labels a sample, (n, labels), found shape (3,); for class numbers use",
        ),
        (np.zeros((3, 2)), np.full((3, 2), 0.5), "targets must be 0 or 1"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(outputs, targets, found):
    """The message says what was found and what to use."""
    with pytest.raises(InputError) as error:
        compute("f1_micro", outputs, targets)

    assert "metric 'f1_micro'" in str(error.value)
    assert found in str(error.value)

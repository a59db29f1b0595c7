from __future__ import annotations

import logging
import math

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import softmax

from hpcmtl.errors import InputError
from hpcmtl.jobfile.metrics import METRICS, MetricName
from hpcmtl.training.evaluation import metrics

# Few different values, so that nearly every example has ties.
FEW_VALUES = st.integers(-3, 3).map(float)


@pytest.fixture(autouse=True)
def _propagate(monkeypatch):
    """Let caplog see the log, also after a test that opened log files."""
    monkeypatch.setattr(logging.getLogger("hpcmtl"), "propagate", True)


@st.composite
def classified(draw, least=2, most=5):
    """Scores (n, classes) with many ties, and a class for each row."""
    classes, n = draw(st.integers(least, most)), draw(st.integers(1, 25))
    scores = draw(arrays(np.float32, (n, classes), elements=FEW_VALUES))
    return scores, draw(arrays(np.int64, n, elements=st.integers(0, classes - 1)))


@st.composite
def documents(draw):
    """Scores, relevances and queries of documents, two or more a query, in mixed order."""
    sizes = draw(st.lists(st.integers(2, 6), min_size=1, max_size=6))
    groups = np.array(draw(st.permutations(np.repeat(np.arange(len(sizes)) * 7, sizes).tolist())))
    scores = draw(arrays(np.float64, len(groups), elements=FEW_VALUES))
    return scores, draw(arrays(np.int64, len(groups), elements=st.integers(0, 3))), groups


def one_hot(targets, classes):
    """Relevance of each class, for scikit-learn's ranking metrics."""
    return np.eye(classes)[targets]


@given(classified())
def test_accuracy_equals_scikit_learn(data):
    """The class with the highest score is the prediction; the first one of equals, as argmax has it."""
    scores, targets = data

    assert metrics.compute("accuracy", scores, targets) == pytest.approx(
        sklearn.metrics.accuracy_score(targets, scores.argmax(axis=1))
    )


@given(classified(least=2, most=2))
def test_binary_auc_equals_scikit_learn_in_every_layout(data):
    """Two scores, one logit a row and a column of logits give one AUC, ties included."""
    scores, targets = data
    assume(len(set(targets)) == 2)
    expected = sklearn.metrics.roc_auc_score(targets, softmax(scores.astype(float), axis=1)[:, 1])
    logits = scores[:, 1] - scores[:, 0]

    assert metrics.compute("auc", scores, targets) == pytest.approx(expected)
    assert metrics.compute("auc", logits, targets) == pytest.approx(expected)
    assert metrics.compute("auc", logits[:, None], targets[:, None]) == pytest.approx(expected)
    assert metrics.compute("accuracy", logits, targets) == pytest.approx(np.mean((logits > 0) == targets))


@given(classified(least=3))
def test_multi_class_auc_equals_scikit_learn(data):
    """One against the rest, the plain mean over the classes, on softmax probabilities."""
    scores, targets = data
    assume(len(set(targets)) == scores.shape[1])
    expected = sklearn.metrics.roc_auc_score(
        targets, softmax(scores.astype(float), axis=1), multi_class="ovr", average="macro"
    )

    assert metrics.compute("auc", scores, targets) == pytest.approx(expected)


@given(classified())
def test_log_loss_equals_scikit_learn(data):
    """The mean negative logarithm of the probability of the true class."""
    scores, targets = data
    expected = sklearn.metrics.log_loss(targets, softmax(scores.astype(float), axis=1), labels=range(scores.shape[1]))

    assert metrics.compute("log_loss", scores, targets) == pytest.approx(expected)


def test_log_loss_of_huge_logits_is_finite():
    """A confident mistake costs the difference of the logits; nothing overflows."""
    assert metrics.compute("log_loss", np.array([[1e4, 0.0]]), np.array([1])) == 1e4


@given(classified(), st.none() | st.integers(1, 6))
def test_ranking_of_classes_equals_scikit_learn(data, cutoff):
    """The mrr is the label ranking average precision, ndcg@k is ndcg_score, both with ties."""
    scores, targets = data
    truth = one_hot(targets, scores.shape[1])
    at = f"@{cutoff}" if cutoff else ""

    assert metrics.compute("mrr", scores, targets) == pytest.approx(
        sklearn.metrics.label_ranking_average_precision_score(truth, scores)
    )
    assert metrics.compute(f"ndcg{at}", scores, targets) == pytest.approx(
        sklearn.metrics.ndcg_score(truth, scores, k=cutoff)
    )


@given(documents(), st.none() | st.integers(1, 6))
def test_ndcg_over_queries_is_the_mean_of_scikit_learn(data, cutoff):
    """Each query alone through ndcg_score, then the mean, whatever the order of the rows."""
    scores, relevances, groups = data
    expected = np.mean(
        [
            sklearn.metrics.ndcg_score([relevances[groups == q]], [scores[groups == q]], k=cutoff)
            for q in np.unique(groups)
        ]
    )

    name = f"ndcg@{cutoff}" if cutoff else "ndcg"
    assert metrics.compute(name, scores, relevances, groups) == pytest.approx(expected)


@given(documents(), st.none() | st.integers(1, 6))
def test_mrr_over_queries_is_the_place_of_the_first_relevant(data, cutoff):
    """A plain sort with irrelevant documents in front of their equals finds the same place."""
    scores, relevances, groups = data
    found = []
    for q in np.unique(groups):
        rows = sorted(zip(-scores[groups == q], relevances[groups == q] > 0, strict=True))
        place = next((k for k, (_, relevant) in enumerate(rows, 1) if relevant), math.inf)
        found.append(1 / place if place <= (cutoff or math.inf) else 0.0)

    name = f"mrr@{cutoff}" if cutoff else "mrr"
    assert metrics.compute(name, scores, relevances, groups) == pytest.approx(np.mean(found))


@given(classified(), st.sampled_from(["mrr", "ndcg", "mrr@2", "ndcg@2"]))
def test_classes_and_queries_agree(data, name):
    """A row of class scores is a query whose documents are the classes."""
    scores, targets = data
    n, classes = scores.shape
    relevances, groups = one_hot(targets, classes).reshape(-1), np.repeat(np.arange(n), classes)

    assert metrics.compute(name, scores, targets) == pytest.approx(
        metrics.compute(name, scores.reshape(-1), relevances, groups)
    )


def test_a_model_that_scores_all_alike_earns_no_rank():
    """Ties are never resolved in favour of the model."""
    assert metrics.compute("mrr", np.zeros((3, 5)), np.array([0, 2, 4])) == pytest.approx(1 / 5)


@given(st.integers(2, 20), st.integers(1, 4), st.data())
def test_regression_equals_scikit_learn(n, columns, data):
    """The mse and r2 of several columns, constant ones included, are scikit-learn's plain means."""
    true = data.draw(arrays(np.float64, (n, columns), elements=FEW_VALUES))
    predicted = data.draw(arrays(np.float64, (n, columns), elements=FEW_VALUES))

    assert metrics.compute("mse", predicted, true) == pytest.approx(sklearn.metrics.mean_squared_error(true, predicted))
    assert metrics.compute("r2", predicted, true) == pytest.approx(sklearn.metrics.r2_score(true, predicted))


def test_images_are_flattened():
    """Reconstructions keep their image shape on one side and may be flat on the other."""
    rng = np.random.default_rng(0)
    true, predicted = rng.random((6, 1, 4, 4), dtype=np.float32), rng.random((6, 16), dtype=np.float32)

    assert metrics.compute("mse", predicted, true) == pytest.approx(
        np.mean((predicted.astype(float) - true.reshape(6, 16)) ** 2)
    )


def test_r2_of_a_constant_column_does_not_divide_by_a_rounding():
    """The mean of seven times 0.1 is not 0.1; the column is constant all the same."""
    true = np.full((7, 1), 0.1)

    assert metrics.compute("r2", true + 1e-3, true) == 0.0
    assert metrics.compute("r2", true, true) == 1.0


@pytest.mark.parametrize(
    ("name", "outputs", "targets", "reason"),
    [
        ("auc", np.arange(4.0), np.ones(4, int), "none of the 4 targets is of class 0"),
        ("auc", np.eye(4), np.array([0, 1, 1, 0]), "none of the 4 targets is of class 2, 3"),
        ("r2", np.ones(1), np.ones(1), "needs two samples"),
        ("accuracy", np.zeros((0, 3)), np.zeros(0, int), "no samples"),
        ("mse", np.array([1.0, np.nan, np.inf]), np.zeros(3), "2 of the 3 outputs are NaN or infinite"),
        ("mse", np.zeros(3), np.array([1.0, np.nan, 0.0]), "1 of the 3 targets are NaN or infinite"),
    ],
)
def test_a_metric_without_a_value_is_nan_and_says_why(name, outputs, targets, reason, caplog):
    """No exception ends a training for one class that is not in the split; the log has the reason."""
    value = metrics.compute(name, outputs, targets)

    assert math.isnan(value)
    assert f"metric {name}" in caplog.text
    assert reason in caplog.text


@pytest.mark.parametrize("name", METRICS)
def test_no_metric_fails_on_an_empty_split(name):
    """Empty is nan for all of them, and a table of zeros."""
    name = f"{name}@1" if name.endswith("top_k_accuracy") else name
    if name.endswith("confusion_matrix"):
        assert not metrics.confusion_table(name, np.zeros((0, 3)), np.zeros(0, int), np.zeros(0)).any()
        return

    assert math.isnan(metrics.compute(name, np.zeros((0, 3)), np.zeros(0, int)))


@pytest.mark.parametrize(
    ("name", "outputs", "targets", "groups", "found"),
    [
        ("accuracy", np.zeros((3, 2)), np.zeros(4, int), None, "3 rows of outputs but 4 of targets"),
        ("accuracy", np.zeros((3, 2)), np.array([0, 1, 2]), None, "targets are 0 to 2"),
        ("accuracy", np.zeros(2), np.array([-1, 1]), None, "targets are -1 to 1"),
        ("accuracy", np.zeros((3, 2)), np.array([0, 0.5, 1]), None, "found fractions"),
        ("accuracy", np.zeros((3, 2)), np.zeros((3, 2), int), None, "targets must be (n,) class numbers"),
        ("auc", np.zeros((3, 2, 2)), np.zeros(3, int), None, "found shape (3, 2, 2)"),
        ("mrr", np.zeros(3), np.zeros(3, int), None, "rank nothing"),
        ("ndcg", np.zeros(3), np.zeros(3, int), np.zeros(2), "groups must have shape (3,), found (2,)"),
        ("ndcg", np.zeros(3), np.array([1, -1, 0]), np.zeros(3), "must not be negative, found -1"),
        ("ndcg", np.zeros((3, 2)), np.zeros(3), np.zeros(3), "outputs must be (n,)"),
        ("mse", np.zeros((3, 2)), np.zeros((3, 4)), None, "(3, 2) do not fit targets of shape (3, 4)"),
        ("mse", np.zeros(()), np.zeros(3), None, "found a single number"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(name, outputs, targets, groups, found):
    """The message names the metric and what was found."""
    with pytest.raises(InputError) as error:
        metrics.compute(name, outputs, targets, groups)

    assert f"metric {name!r}" in str(error.value)
    assert found in str(error.value)


def test_all_problems_are_told_at_once():
    """A wrong shape of the outputs does not hide wrong targets."""
    with pytest.raises(InputError) as error:
        metrics.compute("accuracy", np.zeros((3, 2, 2)), np.array([0.5, 1, 1]))

    assert len(error.value.problems) == 2


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("acuracy", "did you mean 'accuracy'"),
        ("auc@3", "write 'auc'"),
        ("ndcg@", "write for example 'ndcg@10'"),
        ("ndcg@0", "'0' is no number of places"),
        ("ndcg@²", "no number of places"),
        ("", "valid here: accuracy"),
    ],
)
def test_unknown_names_are_refused_with_a_hint(name, told):
    """The remedy is in the message."""
    with pytest.raises(InputError, match=r"metric '") as error:
        metrics.parse(name)

    assert told in str(error.value)


def test_names():
    """A cut-off is parted from its metric."""
    assert metrics.parse("ndcg@10") == MetricName(base="ndcg", cutoff=10)
    assert metrics.parse("weighted_mse") == MetricName(base="mse", weighted=True)


def test_the_order_of_gathering_does_not_matter():
    """Ranks may be concatenated in any order."""
    rng = np.random.default_rng(3)
    scores, targets = rng.integers(-2, 3, (200, 4)).astype(np.float32), rng.integers(0, 4, 200)
    shuffled = rng.permutation(200)

    for name in ("accuracy", "auc", "log_loss", "mrr", "ndcg@2"):
        assert metrics.compute(name, scores[shuffled], targets[shuffled]) == pytest.approx(
            metrics.compute(name, scores, targets), rel=1e-12
        )


@given(classified(least=2, most=4), st.data())
def test_weighted_metrics_of_classes_equal_scikit_learn(data, more):
    """Samples count by their weights, those of weight 0 not at all; plain metrics ignore the weights."""
    scores, targets = data
    weights = np.array(
        more.draw(st.lists(st.sampled_from([0.0, 0.5, 1.0, 3.0]), min_size=len(targets), max_size=len(targets)))
    )
    assume(weights.sum() > 0)
    kept, classes = weights > 0, scores.shape[1]
    probabilities = softmax(scores.astype(np.float64), axis=1)
    wanted = {
        "accuracy": sklearn.metrics.accuracy_score(targets, scores.argmax(axis=1), sample_weight=weights),
        "log_loss": sklearn.metrics.log_loss(targets, probabilities, labels=range(classes), sample_weight=weights),
    }
    if len(np.unique(targets[kept])) == classes:
        truth = targets[kept] if classes > 2 else targets[kept] == 1
        shown = probabilities[kept] if classes > 2 else (scores[:, 1] - scores[:, 0])[kept]
        areas = [
            sklearn.metrics.roc_auc_score(targets[kept] == k, probabilities[kept][:, k], sample_weight=weights[kept])
            for k in range(classes)
        ]
        wanted["auc"] = (
            np.mean(areas) if classes > 2 else sklearn.metrics.roc_auc_score(truth, shown, sample_weight=weights[kept])
        )

    for name, value in wanted.items():
        assert metrics.compute(f"weighted_{name}", scores, targets, weights=weights) == pytest.approx(value, abs=1e-9)
        ones = metrics.compute(name, scores, targets, weights=weights)
        assert ones == pytest.approx(metrics.compute(name, scores, targets), nan_ok=True)


@given(st.integers(0, 10_000), st.integers(2, 20), st.integers(1, 3))
def test_weighted_regressions_equal_scikit_learn(seed, rows, columns):
    """Both metrics of numbers, over all columns."""
    random = np.random.default_rng(seed)
    made, true = random.normal(size=(2, rows, columns))
    weights = random.integers(0, 4, rows) / 2
    assume(np.count_nonzero(weights) > 1)

    for name, function in (("mse", sklearn.metrics.mean_squared_error), ("r2", sklearn.metrics.r2_score)):
        wanted = function(true, made, sample_weight=weights)
        assert metrics.compute(f"weighted_{name}", made, true, weights=weights) == pytest.approx(wanted)


def test_weighted_metrics_need_weights(caplog):
    """None, of another length, or all 0: an error, and no value."""
    scores, targets = np.eye(3), np.arange(3)

    for weights in (None, np.ones(2)):
        with pytest.raises(InputError, match="weights must have shape"):
            metrics.compute("weighted_accuracy", scores, targets, weights=weights)
    assert math.isnan(metrics.compute("weighted_accuracy", scores, targets, weights=np.zeros(3)))
    assert "all 0" in caplog.text
    with pytest.raises(InputError, match="ndcg does not count samples by weights; write 'ndcg'"):
        metrics.compute("weighted_ndcg", scores, targets)


def test_metrics_over_known_labels_use_weights_only_if_they_say_so():
    """`mse` counts every known label alike, `weighted_mse` by its sample, and `r2` leaves single labels out."""
    rng = np.random.default_rng(0)
    outputs, targets, known = rng.normal(size=(6, 3)), rng.normal(size=(6, 3)), np.ones((6, 3), np.bool_)
    known[1:, 2], known[0, 0] = False, False
    weights = np.array([0.0, 1, 2, 3, 4, 5])
    errors = (outputs - targets) ** 2
    counts = known * weights[:, None]
    whole = [sklearn.metrics.r2_score(targets[known[:, k], k], outputs[known[:, k], k]) for k in (0, 1)]

    assert metrics.over_known_labels("mse", outputs, targets, known, weights) == pytest.approx(errors[known].mean())
    assert metrics.over_known_labels("weighted_mse", outputs, targets, known, weights) == pytest.approx(
        (errors * counts).sum() / counts.sum()
    )
    assert metrics.over_known_labels("r2", outputs, targets, known, weights) == pytest.approx(np.mean(whole))

"""Metrics by sums over batches and ranks equal those of all samples together."""

from __future__ import annotations

import sys
import types
from functools import partial

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.special import softmax

from hpcmtl.communicators.inproc import RankFailedError, run_ranks
from hpcmtl.errors import InputError
from hpcmtl.networks.objective import Objective
from hpcmtl.results.undefined import reasons
from hpcmtl.training.evaluation.labelled import WEIGHTS, objective_metric
from hpcmtl.training.evaluation.sums import ObjectiveSums, are_sums
from hpcmtl.training.loop import TARGET

BY_CLASSES = ("accuracy", "top_k_accuracy@2", "log_loss", "balanced_accuracy", "f1_macro", "precision_macro")
OF_CLASSES = (*BY_CLASSES, "recall_macro", "mrr", "ndcg", "weighted_accuracy", "weighted_f1_macro")
KIND = Objective("main", "t", "softmax_ce", 1.0, OF_CLASSES)


def of_ranks(objective, rows, ranks, batch=4):
    """Metrics of rows that ranks take in contiguous shares, batch by batch; those of each rank."""

    def on_rank(group):
        sums = ObjectiveSums(objective)
        mine = np.array_split(np.arange(len(rows["main"])), ranks)[group.rank]
        for start in range(0, len(mine), batch):
            sums.add({key: array[mine[start : start + batch]] for key, array in rows.items()})
        return sums.values(group)

    return run_ranks(ranks, on_rank)


@settings(max_examples=min(20, settings.default.max_examples), deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 3), st.integers(4, 30))
def test_metrics_of_classes_equal_scikit_learn_on_all_samples(seed, ranks, samples):
    """With missing labels and weights, on shares of other sizes, some of them empty."""
    rng = np.random.default_rng(seed)
    scores, weights = rng.normal(size=(samples, 3)).astype(np.float32), rng.integers(0, 3, samples).astype(float)
    truth = rng.integers(-1, 3, samples)
    known = truth >= 0
    assume(weights[known].sum() > 0)
    rows = {"main": scores, f"{TARGET}main": truth, WEIGHTS: weights}
    found = of_ranks(Objective("main", "t", "softmax_ce", 1.0, OF_CLASSES, missing=-1), rows, ranks)
    made, true, one_hot = scores[known].argmax(axis=1), truth[known], np.eye(3)[truth[known]]
    macro = {"average": "macro", "zero_division": 0}
    kept = weights[known] > 0
    wanted = {
        "accuracy": sklearn.metrics.accuracy_score(true, made),
        "top_k_accuracy@2": sklearn.metrics.top_k_accuracy_score(true, scores[known], k=2, labels=range(3)),
        "log_loss": sklearn.metrics.log_loss(true, softmax(scores[known].astype(float), axis=1), labels=range(3)),
        "f1_macro": sklearn.metrics.f1_score(true, made, **macro),
        "precision_macro": sklearn.metrics.precision_score(true, made, **macro),
        "recall_macro": sklearn.metrics.recall_score(true, made, **macro),
        "balanced_accuracy": np.mean([np.mean(made[true == k] == k) for k in set(true)]),
        "mrr": sklearn.metrics.label_ranking_average_precision_score(one_hot, scores[known]),
        "ndcg": sklearn.metrics.ndcg_score(one_hot, scores[known]),
        "weighted_accuracy": sklearn.metrics.accuracy_score(true, made, sample_weight=weights[known]),
        "weighted_f1_macro": sklearn.metrics.f1_score(
            true[kept], made[kept], sample_weight=weights[known][kept], **macro
        ),
    }

    assert all(each == found[0] for each in found)
    assert found[0] == {name: pytest.approx(value) for name, value in wanted.items()}


@pytest.mark.parametrize("ranks", [1, 3])
def test_errors_and_the_sums_of_the_user_are_added(ranks, monkeypatch):
    """`mse` and `mae` of several columns, and a metric that is no mean: the largest share of a column."""

    class Shares:
        sums = staticmethod(lambda made, true, weights: (weights[:, None] * (made - true) ** 2).sum(axis=0))
        value = staticmethod(lambda sums: sums.max() / sums.sum())

    module = types.ModuleType("own_shares")
    module.shares = Shares
    monkeypatch.setitem(sys.modules, "own_shares", module)
    rng = np.random.default_rng(0)
    made, true, weights = rng.normal(size=(17, 2)), rng.normal(size=(17, 2)), rng.random(17)
    objective = Objective("main", "t", "l2", 1.0, ("mse", "weighted_mae", "own_shares:shares"))
    (found, *_) = of_ranks(objective, {"main": made, f"{TARGET}main": true, WEIGHTS: weights}, ranks)
    squares = (weights[:, None] * (made - true) ** 2).sum(axis=0)

    assert are_sums(objective)
    assert found == {
        "mse": pytest.approx(sklearn.metrics.mean_squared_error(true, made)),
        "weighted_mae": pytest.approx(sklearn.metrics.mean_absolute_error(true, made, sample_weight=weights)),
        "own_shares:shares": pytest.approx(squares.max() / squares.sum()),
    }


@pytest.mark.parametrize(
    ("loss", "metrics", "keys", "expected"),
    [
        ("softmax_ce", ("accuracy", "f1_macro"), {"missing": -1}, True),
        ("softmax_ce", ("accuracy", "auc"), {}, False),
        ("sigmoid_bce", ("accuracy",), {}, True),
        ("sigmoid_bce", ("f1_macro",), {}, False),
        ("l2", ("mse", "mae"), {}, True),
        ("l2", ("mse",), {"missing": "nan"}, False),
        ("l2", ("r2",), {}, False),
        ("l2", ("ndcg",), {"query": "t/q"}, False),
        ("l2", (), {}, False),
    ],
)
def test_what_follows_from_sums(loss, metrics, keys, expected):
    """All metrics of an objective do, or its outputs are gathered."""
    assert are_sums(Objective("main", "t", loss, 1.0, metrics, **keys)) == expected


def test_what_has_no_value_says_why():
    """No rows on any rank, a NaN on one of them, and weights that are all 0."""
    rows = {"main": np.zeros((6, 3)), f"{TARGET}main": np.zeros(6, int), WEIGHTS: np.zeros(6)}
    empty = {key: array[:0] for key, array in rows.items()}
    broken = {**rows, "main": np.where(np.arange(18).reshape(6, 3) == 17, np.nan, 0)}
    told = [set(reasons(of_ranks(KIND, each, 2)[0]).values()) for each in (empty, broken)]

    assert told == [{"there are no samples"}, {"1 of the outputs and targets are NaN or infinite"}]
    assert reasons(of_ranks(KIND, rows, 2)[0]) == {
        name: "the weights of the samples are all 0" for name in OF_CLASSES if name.startswith("weighted_")
    }


def test_a_problem_of_one_rank_is_raised_on_all():
    """Labels that the last rank alone has do not fit; no rank waits for it in vain."""
    rows = {"main": np.zeros((6, 3)), f"{TARGET}main": np.array([0, 1, 2, 0, 1, 7]), WEIGHTS: np.ones(6)}
    with pytest.raises(RankFailedError) as error:
        run_ranks(3, partial(_values_of_share, rows))

    assert "rank 0" in str(error.value)
    assert "targets are 1 to 7" in str(error.value)


def test_labels_of_samples_that_count_nothing_do_not_matter():
    """They may be no classes, as where rows are gathered."""
    rng, metrics = np.random.default_rng(0), ("weighted_accuracy", "weighted_log_loss", "weighted_f1_macro")
    objective = Objective("main", "t", "softmax_ce", 1.0, metrics)
    rows = {"main": rng.normal(size=(9, 3)), f"{TARGET}main": np.arange(9) % 3, WEIGHTS: np.arange(9) % 2 * 1.0}
    given = {**rows, f"{TARGET}main": np.where(rows[WEIGHTS] > 0, rows[f"{TARGET}main"], -1)}

    assert of_ranks(objective, given, 2)[0] == of_ranks(objective, rows, 2)[0]
    assert of_ranks(objective, given, 2)[0] == pytest.approx(
        {each: objective_metric(each, objective, given) for each in metrics}
    )


@pytest.mark.parametrize(("ranks", "samples"), [(1, 5), (2, 5), (2, 3)])
def test_sums_of_single_samples_are_refused_on_all_ranks(ranks, samples, monkeypatch):
    """A user's `sums` that adds up nothing: the last batch is smaller, on one of the ranks or by those of the other."""
    module = types.ModuleType("own_rows")
    module.rows = types.SimpleNamespace(sums=lambda made, _true, _weights: made[:, 0], value=np.mean)
    monkeypatch.setitem(sys.modules, "own_rows", module)
    objective = Objective("main", "t", "l2", 1.0, ("own_rows:rows",))
    rows = {"main": np.ones((samples, 1)), f"{TARGET}main": np.ones((samples, 1))}

    with pytest.raises((InputError, RankFailedError), match="must not depend on the number of samples"):
        of_ranks(objective, rows, ranks)


def _values_of_share(rows, group):
    sums = ObjectiveSums(KIND)
    sums.add({key: np.array_split(array, 3)[group.rank] for key, array in rows.items()})
    return sums.values(group)

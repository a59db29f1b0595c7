"""Names of metrics, and which of two values is better."""

from __future__ import annotations

import math

import pytest

from hpcmtl.jobfile.metrics import METRICS, better_of, improves, parse_metric
from hpcmtl.results.undefined import UndefinedValue


@pytest.mark.parametrize(
    ("result", "better"),
    [
        ("loss", "lower"),
        ("digit.loss", "lower"),
        ("digit.north.val_loss", "lower"),
        ("val_accuracy", "higher"),
        ("digit.val_weighted_log_loss", "lower"),
        ("val_ndcg@10", "higher"),
        ("a.val_top_k_accuracy@5", "higher"),
        ("old_test_rmse", "lower"),
        ("val_mine.costs:of_errors", None),
        ("confusion_matrix", None),
        ("share", None),
    ],
)
def test_better_of_two_values(result, better):
    """Errors and losses fall, all else rises; of users' functions hpcmtl does not know it."""
    assert better_of(result) == better


def test_no_value_never_wins():
    """Neither against a value nor as the first one, whatever is better; any value wins against none."""
    undefined = UndefinedValue("one class")

    for better in ("higher", "lower"):
        for best in (None, math.nan, 0.5, undefined):
            assert not improves(undefined, best, better)
            assert not improves(None, best, better)
        assert improves(0.5, undefined, better)
        assert improves(0.5, None, better)
    assert improves(0.6, 0.5, "higher", min_delta=0.05)
    assert not improves(0.6, 0.5, "higher", min_delta=0.2)
    assert improves(0.4, 0.5, "lower")
    assert not improves(0.5, 0.5, "lower")


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_is_parsed(name):
    """With the cut-off that it needs."""
    written = f"{name}@3" if name.endswith("top_k_accuracy") else name

    assert parse_metric(written).base == name.removeprefix("weighted_")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("top_k_accuracy", "it needs its number of classes: write for example 'top_k_accuracy@5'"),
        ("rsme", "did you mean 'rmse'"),
        ("weighted_mrr", "mrr does not count samples by weights; write 'mrr'"),
        ("mine.costs.of_errors", "write 'mine.costs:of_errors'"),
        ("rmse@2", "rmse takes no cut-off: write 'rmse'"),
        ("ece@0", "'0' is no number of bins, a positive integer: write for example 'ece@10'"),
    ],
)
def test_wrong_names_have_a_remedy(name, told):
    """Each message says what to write."""
    with pytest.raises(ValueError, match="found|unknown") as error:
        parse_metric(name)

    assert told in str(error.value)

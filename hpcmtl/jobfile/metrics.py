"""Metrics by name: the targets that each takes, its cut-off, and which of two values is better.

The values are computed in `hpcmtl.training.evaluation`. A name is that of a metric here, or
``package.module:attribute`` for a function of the user's. ``weighted_`` before the name counts samples by their
weights, ``@10`` behind it is a cut-off.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal

from hpcmtl.errors import nearest
from hpcmtl.jobfile.resolve import colon_form

WEIGHTED = "weighted_"
"""Prefix of the metrics in which samples count by their `sample_weights`."""
Better = Literal["higher", "lower"]
Targets = Literal["class", "labels", "numbers"]
_OWN = re.compile(r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")
_PREFIXES = ("val_", "old_test_")


@dataclass(frozen=True, kw_only=True)
class MetricDescription:
    """The facts about a metric that the checks of a job need.

    Attributes:
        targets: kinds of targets: one class number a sample, several labels of 0 and 1, or numbers.
        better: which of two values is better.
        counts: noun of what a cut-off counts; empty for a metric without one.
        needs_cutoff: whether the cut-off has no default.
        has_weighted_form: whether there is a form that counts samples by their weights.
        needs_order: whether outputs of a regression loss serve as well, since the order of scores alone matters.
        takes_queries: whether it ranks the documents of each query, where the objective has queries.
        publishes_table: whether it is a table of numbers and no single number.
        pools_columns: of numbers: whether it is one mean over all columns and samples; otherwise the mean of its
            values for the columns.
        least: smallest number of samples for which it has a value.
    """

    targets: tuple[Targets, ...]
    better: Better = "higher"
    counts: str = ""
    needs_cutoff: bool = False
    has_weighted_form: bool = True
    needs_order: bool = False
    takes_queries: bool = False
    publishes_table: bool = False
    pools_columns: bool = False
    least: int = 1


_CLASS: tuple[Targets, ...] = ("class",)
_LABELS: tuple[Targets, ...] = ("labels",)
_BOTH: tuple[Targets, ...] = ("class", "labels")
_NUMBERS: tuple[Targets, ...] = ("numbers",)
_BY_NAME: dict[str, MetricDescription] = {
    "accuracy": MetricDescription(targets=_CLASS),
    "balanced_accuracy": MetricDescription(targets=_CLASS),
    "f1_macro": MetricDescription(targets=_BOTH),
    "precision_macro": MetricDescription(targets=_BOTH),
    "recall_macro": MetricDescription(targets=_BOTH),
    "top_k_accuracy": MetricDescription(targets=_CLASS, counts="classes", needs_cutoff=True),
    "auc": MetricDescription(targets=_CLASS, needs_order=True),
    "average_precision": MetricDescription(targets=_BOTH, needs_order=True),
    "log_loss": MetricDescription(targets=_CLASS, better="lower"),
    "ece": MetricDescription(targets=_CLASS, better="lower", counts="bins"),
    "confusion_matrix": MetricDescription(targets=_CLASS, publishes_table=True),
    "mrr": MetricDescription(targets=_CLASS, counts="places", has_weighted_form=False, takes_queries=True),
    "ndcg": MetricDescription(targets=_CLASS, counts="places", has_weighted_form=False, takes_queries=True),
    "f1_micro": MetricDescription(targets=_LABELS),
    "precision_micro": MetricDescription(targets=_LABELS),
    "recall_micro": MetricDescription(targets=_LABELS),
    "hamming_loss": MetricDescription(targets=_LABELS, better="lower"),
    "subset_accuracy": MetricDescription(targets=_LABELS),
    "auc_macro": MetricDescription(targets=_LABELS, needs_order=True),
    "ranking_loss": MetricDescription(targets=_LABELS, better="lower", needs_order=True),
    "mse": MetricDescription(targets=_NUMBERS, better="lower", pools_columns=True),
    "rmse": MetricDescription(targets=_NUMBERS, better="lower"),
    "mae": MetricDescription(targets=_NUMBERS, better="lower", pools_columns=True),
    "mape": MetricDescription(targets=_NUMBERS, better="lower", pools_columns=True),
    "r2": MetricDescription(targets=_NUMBERS, least=2),
    "pearson": MetricDescription(targets=_NUMBERS, least=2),
    "spearman": MetricDescription(targets=_NUMBERS, least=2),
}

METRICS_OF_CLASSES = tuple(name for name, each in _BY_NAME.items() if "class" in each.targets)
"""Metrics of one class number a sample."""
METRICS_OF_LABELS = tuple(name for name, each in _BY_NAME.items() if "labels" in each.targets)
"""Metrics of several labels a sample, each 0 or 1."""
METRICS_OF_NUMBERS = tuple(name for name, each in _BY_NAME.items() if "numbers" in each.targets)
METRICS_WITH_CUTOFF = tuple(name for name, each in _BY_NAME.items() if each.counts)
METRICS_OF_QUERIES = tuple(name for name, each in _BY_NAME.items() if each.takes_queries)
METRICS = (*_BY_NAME, *(WEIGHTED + name for name, each in _BY_NAME.items() if each.has_weighted_form))


@dataclass(frozen=True, kw_only=True)
class MetricName:
    """The parts of the name of a metric.

    Attributes:
        base: name without prefix and cut-off, or that of the user's function.
        weighted: whether samples count by their weights.
        cutoff: number behind the ``@``; None without.
    """

    base: str
    weighted: bool = False
    cutoff: int | None = None

    @property
    def description(self) -> MetricDescription | None:
        """Returns the facts about the metric; None for a function of the user's."""
        return _BY_NAME.get(self.base)


def is_own(name: str) -> bool:
    """Returns true for a name that refers to a function of the user's."""
    return _OWN.match(name) is not None


def parse_metric(name: str) -> MetricName:
    """Splits the name of a metric, e.g. ``ndcg@10``, into its parts.

    Raises:
        ValueError: there is no such metric, or the cut-off is no positive integer or has no meaning for it.
    """
    if is_own(name):
        return MetricName(base=name)
    metric, at, cutoff = name.partition("@")
    if metric not in METRICS:
        plain, own = metric.removeprefix(WEIGHTED), colon_form(name)
        if plain in _BY_NAME:
            raise ValueError(f"unknown metric {name!r}: {plain} does not count samples by weights; write {plain!r}")
        raise ValueError(f"unknown metric {name!r}{f'; write {own!r}' if own else _nearest(metric)}")
    base = metric.removeprefix(WEIGHTED)
    described = _BY_NAME[base]
    if at and not described.counts:
        text = f"found {name!r}; {metric} takes no cut-off: write {metric!r}"
        raise ValueError(f"{text} (only {_listed(METRICS_WITH_CUTOFF)} have one)")
    if at and not (cutoff.isascii() and cutoff.isdigit() and int(cutoff) > 0):
        text = f"found {name!r}; {cutoff!r} is no number of {described.counts}"
        raise ValueError(f"{text}, a positive integer: write for example '{metric}@10'")
    if described.needs_cutoff and not at:
        raise ValueError(f"found {name!r}; it needs its number of {described.counts}: write for example '{metric}@5'")
    return MetricName(base=base, weighted=metric != base, cutoff=int(cutoff) if at else None)


def _nearest(metric: str) -> str:
    return nearest(metric, (*METRICS, "package.module:attribute"))


def _listed(names: tuple[str, ...]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}"


def base_of(name: str) -> str:
    """Returns the name of a metric without prefix and cut-off."""
    return name if is_own(name) else name.removeprefix(WEIGHTED).partition("@")[0]


def describe_metric(name: str) -> MetricDescription | None:
    """Returns the facts about a metric; None for a function of the user's, and for a name that is none."""
    return _BY_NAME.get(base_of(name))


def takes_weights(name: str) -> bool:
    """Returns true for a metric that is given the weights of the samples, if there are any."""
    return name.startswith(WEIGHTED) or is_own(name)


def better_of(result: str) -> Better | None:
    """Returns which of two values in the results is better.

    Args:
        result: name in the results, such as ``val_accuracy``, ``digit.val_ndcg@10`` or ``digit.loss``.

    Returns:
        ``higher`` or ``lower``; None if hpcmtl does not know: for functions of the user's, tables and other names.
    """
    last = result.rpartition(".")[2]
    for prefix in _PREFIXES:
        last = last.removeprefix(prefix)
    if last == "loss":
        return "lower"
    found = None if ":" in result else _BY_NAME.get(last.partition("@")[0].removeprefix(WEIGHTED))
    return None if found is None or found.publishes_table else found.better


def improves(value: float | None, best: float | None, better: Better, min_delta: float = 0.0) -> bool:
    """Returns true if a value is better than the best one so far; a value that is undefined never is.

    Args:
        value: the value; None or NaN if it is undefined.
        best: the best value so far; None or NaN if there is none.
        better: which of two values is better.
        min_delta: difference that does not count yet.
    """
    if value is None or math.isnan(value):
        return False
    if best is None or math.isnan(best):
        return True
    return value - best > min_delta if better == "higher" else best - value > min_delta

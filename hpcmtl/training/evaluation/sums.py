"""Metrics that follow from sums over samples: each rank adds up its own, and no rank gathers outputs.

Sums are in float64, so that they equal those over gathered rows but for their last bits. Metrics that need the order of
all samples, such as AUC, are not among them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.errors import InputError
from hpcmtl.jobfile.metrics import METRICS_OF_LABELS, METRICS_OF_QUERIES, is_own, parse_metric
from hpcmtl.results.undefined import UndefinedValue
from hpcmtl.training.evaluation.checked_rows import as_classes, as_columns, refuse, require_lengths, sample_counts
from hpcmtl.training.evaluation.classes import VALUES_OF_SAMPLES, VALUES_OF_TABLES, confusion
from hpcmtl.training.evaluation.labelled import labelled_rows
from hpcmtl.training.evaluation.own import has_sums, import_own_metric, own_sums, own_value
from hpcmtl.training.evaluation.ranking import values_over_classes
from hpcmtl.training.evaluation.regression import VALUES_OF_NUMBERS
from hpcmtl.training.evaluation.undefined import UndefinedMetricError

if TYPE_CHECKING:
    from hpcmtl.communicators.base import Communicator
    from hpcmtl.networks.objective import Objective
    from hpcmtl.training.evaluation.labelled import GatheredRows, LabelledRows
    from hpcmtl.training.evaluation.ranking import Scores


def are_sums(objective: Objective) -> bool:
    """Returns true for an objective all of whose metrics follow from sums over samples.

    Where single labels of a sample may be missing it does not hold: then each column has its own sums.
    """
    one_class = objective.loss == "softmax_ce"
    if not objective.metrics or objective.query is not None or (objective.is_partly_labelled and not one_class):
        return False
    return all(_is_sum(each, one_class=one_class) for each in objective.metrics)


def _is_sum(metric: str, *, one_class: bool) -> bool:
    if is_own(metric):
        return has_sums(import_own_metric(metric))
    base = parse_metric(metric).base
    if base in METRICS_OF_LABELS and not one_class:  # targets may have several labels
        return False
    return base in {*VALUES_OF_SAMPLES, *VALUES_OF_TABLES, *VALUES_OF_NUMBERS, *METRICS_OF_QUERIES}


class ObjectiveSums:
    """The sums of one objective on one rank, batch after batch."""

    def __init__(self, objective: Objective) -> None:
        self.objective = objective
        self._sums: dict[str, Scores] = {}
        self._bad = 0
        self._problem: InputError | None = None

    def add(self, rows: GatheredRows) -> None:
        """Adds the rows of a batch; a problem with them is kept until all ranks learn of it."""
        found = labelled_rows(self.objective, rows)
        bad = sum(np.count_nonzero(~np.isfinite(each.astype(np.float64))) for each in (found.outputs, found.targets))
        self._bad += bad
        if bad or not len(found.targets) or self._problem is not None:
            return
        try:
            for metric in self.objective.metrics:
                made = _sums(metric, found)
                self._sums[metric] = _added(metric, self._sums.get(metric), made)
        except InputError as error:
            self._problem = error

    def values(self, group: Communicator) -> dict[str, float]:
        """Returns the metrics over the samples of all ranks (collective).

        Raises:
            InputError: rows of a rank do not fit a metric, or a function of the user's fails; on all ranks.
        """
        parts = group.allgather((self._bad, self._sums, self._problem))
        problem = next((each for *_, each in parts if each is not None), None)
        if problem is not None:
            raise problem
        bad = sum(each for each, *_ in parts)
        totals: dict[str, Any] = {}
        for _, sums, _ in parts:
            for metric, made in sums.items():
                totals[metric] = _added(metric, totals.get(metric), made)
        return {metric: _value(metric, totals.get(metric), bad) for metric in self.objective.metrics}


def _added(metric: str, before: Scores | None, made: Scores) -> Scores:
    """Returns the sums with those of other samples; numpy would also add those of a user's of some other shapes."""
    if before is None:
        return made
    if before.shape != made.shape:
        text = f"`sums` returns an array of shape {made.shape}, and {before.shape} for other samples"
        refuse(metric, [f"{text}; its shape must not depend on the number of samples"])
    return before + made


def _sums(metric: str, rows: LabelledRows) -> Scores:
    """Returns the sums of a batch: a table, the sums of a user's metric, or those of values and of counts."""
    parsed, scores = parse_metric(metric), rows.outputs.astype(np.float64)
    require_lengths(metric, scores, rows.targets, None)
    if is_own(metric):
        weights = np.ones(len(scores)) if rows.weights is None else rows.weights.astype(np.float64)
        return own_sums(metric, rows.outputs, rows.targets, weights)
    counts = sample_counts(metric, rows.weights, len(scores), weighted=parsed.weighted)
    if parsed.base in VALUES_OF_NUMBERS:
        values = VALUES_OF_NUMBERS[parsed.base](*as_columns(metric, scores, rows.targets))
        return np.array([(values * counts).sum(), counts.sum()])
    numbers = rows.targets.reshape(len(scores), -1)  # of samples that count nothing any number will do
    classes = as_classes(metric, scores, np.where(counts[:, None] > 0, numbers, numbers.dtype.type(0)))
    if parsed.base in VALUES_OF_TABLES:
        return confusion(*classes, counts)
    if parsed.base in METRICS_OF_QUERIES:
        values = values_over_classes(parsed.base, *classes, parsed.cutoff)
    else:
        values = VALUES_OF_SAMPLES[parsed.base](*classes, parsed.cutoff)
    return np.array([(values * counts).sum(), counts.sum()])


def _value(metric: str, total: Scores | None, bad: int) -> float:
    """Returns the metric that follows from the sums of all ranks."""
    if total is None or bad:
        text = f"{bad} of the outputs and targets are NaN or infinite" if bad else "there are no samples"
        return UndefinedValue(text)
    base = parse_metric(metric).base
    if is_own(metric):
        try:
            return own_value(metric, total)
        except UndefinedMetricError as reason:
            return UndefinedValue(str(reason))
    counted = total.sum() if base in VALUES_OF_TABLES else total[1]
    if not counted > 0:
        return UndefinedValue("the weights of the samples are all 0")
    return VALUES_OF_TABLES[base](total) if base in VALUES_OF_TABLES else float(total[0] / total[1])

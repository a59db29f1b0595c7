"""Metrics of an objective over its labelled samples."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hpcmtl.data.labels import known_labels
from hpcmtl.training.evaluation.metrics import compute, confusion_table, over_known_labels
from hpcmtl.training.evaluation.tokens import MASK, TOKENS
from hpcmtl.training.loop import TARGET

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from hpcmtl.networks.objective import Objective
    from hpcmtl.training.evaluation.ranking import Scores

    GatheredRows = Mapping[str, np.ndarray[Any, Any]]

WEIGHTS = "sample/weights"
"""Key of the sample weights among the rows."""
QUERY = "query/"
"""Prefix of the keys of the queries that the documents of an objective belong to."""


def masks(objectives: Sequence[Objective]) -> dict[str, str]:
    """Returns the references of the masks of some objectives, by the keys of their rows."""
    return {MASK + each.name: each.mask for each in objectives if each.mask is not None}


def queries(objectives: Sequence[Objective]) -> dict[str, str]:
    """Returns the references of the queries of some objectives, by the keys of their rows."""
    return {QUERY + each.name: each.query for each in objectives if each.query is not None}


class LabelledRows(NamedTuple):
    """The rows of an objective in which some label is known; `known` (n, labels) is None where all of them are."""

    outputs: NDArray[Any]
    targets: NDArray[Any]
    weights: NDArray[Any] | None
    groups: NDArray[Any] | None
    known: NDArray[np.bool_] | None = None


def labelled_rows(objective: Objective, rows: GatheredRows) -> LabelledRows:
    """Returns the rows of an objective that have a known label; see `objective_metric`."""
    outputs, targets, weights = rows[objective.name], rows[TARGET + objective.name], rows.get(WEIGHTS)
    groups = rows.get(QUERY + objective.name)
    if objective.per_token and weights is not None:
        weights = np.repeat(weights, rows[TOKENS + objective.name])
    if not objective.is_partly_labelled:
        return LabelledRows(outputs, targets, weights, groups)
    known = known_labels(targets, objective.missing, rows.get(MASK + objective.name))
    known = known.reshape(len(targets), math.prod(targets.shape[1:]))
    if (known != known[:, :1]).any():
        return LabelledRows(outputs, targets, weights, groups, known)
    whole = known[:, 0]
    beside = (None if each is None else each[whole] for each in (weights, groups))
    return LabelledRows(outputs[whole], targets[whole], *beside)


def objective_metric(name: str, objective: Objective, rows: GatheredRows) -> float:
    """Computes a metric over the known labels of an objective.

    Args:
        name: name of the metric.
        objective: the objective.
        rows: outputs under the name of the objective, labels under `TARGET` and this name, those of its mask under
            `MASK` and this name, queries under `QUERY` and this name, and weights of the samples, if there are any,
            under `WEIGHTS`; each (n, ...). Those of an objective with a label for each token are rows of tokens, see
            `token_rows`.

    Returns:
        The metric; an `UndefinedValue` if it has no value, as where no label is known.
    """
    found = labelled_rows(objective, rows)
    if found.known is not None:
        return over_known_labels(name, found.outputs, found.targets, found.known, found.weights)
    return compute(name, found.outputs, found.targets, found.groups, found.weights)


def objective_table(name: str, objective: Objective, rows: GatheredRows) -> Scores:
    """Computes a table of numbers over the known labels of an objective; see `objective_metric`."""
    found = labelled_rows(objective, rows)
    return confusion_table(name, found.outputs, found.targets, found.weights)

"""Metrics of an objective over its labelled samples."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.data.labels import known_labels
from hpcmtl.training.evaluation.metrics import compute, over_known_labels
from hpcmtl.training.evaluation.tokens import MASK, TOKENS
from hpcmtl.training.loop import TARGET

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hpcmtl.networks.objective import Objective

WEIGHTS = "sample/weights"
"""Key of the sample weights among the rows."""


def masks(objectives: Sequence[Objective]) -> dict[str, str]:
    """Returns the references of the masks of some objectives, by the keys of their rows."""
    return {MASK + each.name: each.mask for each in objectives if each.mask is not None}


def objective_metric(name: str, objective: Objective, rows: Mapping[str, np.ndarray[Any, Any]]) -> float:
    """Computes a metric over the known labels of an objective.

    Args:
        name: name of the metric.
        objective: the objective.
        rows: outputs under the name of the objective, labels under `TARGET` and this name, those of its mask under
            `MASK` and this name, and weights of the samples, if there are any, under `WEIGHTS`; each (n, ...). Those of
            an objective with a label for each token are rows of tokens, see `token_rows`.

    Returns:
        The metric; nan if it has no value, as where no label is known.
    """
    outputs, targets, weights = rows[objective.name], rows[TARGET + objective.name], rows.get(WEIGHTS)
    if objective.per_token and weights is not None:
        weights = np.repeat(weights, rows[TOKENS + objective.name])
    if not objective.is_partly_labelled:
        return compute(name, outputs, targets, weights=weights)
    known = known_labels(targets, objective.missing, rows.get(MASK + objective.name))
    known = known.reshape(len(targets), math.prod(targets.shape[1:]))
    if (known != known[:, :1]).any():
        return over_known_labels(name, outputs, targets, known, weights)
    whole = known[:, 0]
    return compute(name, outputs[whole], targets[whole], weights=None if weights is None else weights[whole])

"""Losses of held-out samples, in numpy: the mean over the labelled samples, as training reports it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.data.labels import known_labels
from hpcmtl.training.evaluation.tokens import MASK
from hpcmtl.training.loop import TARGET

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from hpcmtl.arrays import Floats
    from hpcmtl.networks.objective import Objective


def _softmax_ce(outputs: Floats, targets: Floats) -> Floats:
    shifted = outputs - outputs.max(axis=1, keepdims=True)
    true = shifted[np.arange(len(targets)), targets[:, 0].astype(np.intp)]
    return np.asarray(np.log(np.exp(shifted).sum(axis=1)) - true)[:, None]


def _sigmoid_bce(outputs: Floats, targets: Floats) -> Floats:
    return np.asarray(np.maximum(outputs, 0) - outputs * targets + np.log1p(np.exp(-np.abs(outputs))))


def _huber(outputs: Floats, targets: Floats) -> Floats:
    apart = np.abs(outputs - targets)
    return np.where(apart < 1, apart**2 / 2, apart - 0.5)


_LOSSES: dict[str, Callable[[Floats, Floats], Floats]] = {
    "softmax_ce": _softmax_ce,
    "sigmoid_bce": _sigmoid_bce,
    "huber": _huber,
    "l1": lambda outputs, targets: np.abs(outputs - targets),
    "l2": lambda outputs, targets: (outputs - targets) ** 2 / 2,
}
"""Name of a loss -> function of (n, outputs) and (n, labels) to losses, (n, labels)."""


def objective_loss(objective: Objective, rows: Mapping[str, NDArray[Any]]) -> float | None:
    """Returns the mean loss of an objective over its known labels; None for a loss of the user's.

    Weights of classes and samples, and label smoothing, are of the training and leave it as it is.

    Args:
        objective: the objective.
        rows: as for `objective_metric`.

    Returns:
        The loss; nan if no label is known.
    """
    function = _LOSSES.get(objective.loss)
    if function is None:
        return None
    targets = rows[TARGET + objective.name]
    known = known_labels(targets, objective.missing, rows.get(MASK + objective.name))
    count = math.prod(targets.shape[1:])
    if not known.any():
        return math.nan
    truth = np.where(known, targets, 0).reshape(len(targets), count).astype(np.float64)
    outputs = rows[objective.name].reshape(len(targets), -1).astype(np.float64)
    return float(function(outputs, truth)[known.reshape(len(targets), count)].mean())

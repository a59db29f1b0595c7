"""Losses of objectives of which a batch may have no label: such a batch measures nothing of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from hpcmtl.arrays import Floats
    from hpcmtl.training.step_input import StepInput


class KnownLosses:
    """Keeps the newest mean loss of each objective over a batch that had labels of it.

    Attributes:
        values: (objectives,) these losses; NaN for an objective of which no batch had a label.
    """

    def __init__(self, objectives: int) -> None:
        self.values = np.full(objectives, np.nan)

    def measured(self, losses: Floats, labelled: Floats) -> Floats:
        """Returns the losses of a batch, and for objectives without a label in it the newest that are known.

        An objective of which there was no label yet gets the mean of the others.

        Args:
            losses: (objectives,) mean losses over the group; 0 for those without a label.
            labelled: (objectives,) above 0 for those with a label on any rank.
        """
        self.values = np.where(labelled > 0, losses, self.values)
        known = ~np.isnan(self.values)
        return np.where(known, self.values, self.values[known].mean() if known.any() else 1.0)


def labelled_in(batch: StepInput, objectives: int) -> Floats:
    """Returns (objectives,) 1 for each objective of which a rank's share of a batch has a label that counts, else 0."""
    found = np.zeros(objectives)
    for number in range(objectives):
        factors = batch.label_weights[number] if number < len(batch.label_weights) else None
        rows = len(batch.weights)
        counted = batch.weights if factors is None else batch.weights[:, None] * factors.reshape(rows, -1)
        found[number] = float(np.any(counted != 0))
    return found

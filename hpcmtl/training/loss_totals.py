"""Losses of several steps of one epoch, and their mean over the labelled samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hpcmtl.arrays import Floats
    from hpcmtl.data.batches import Batch


@dataclass(frozen=True)
class LossTotals:
    """Sums of the losses of several steps of one epoch.

    Attributes:
        steps: for each objective the number of steps; a step counts as the share of a batch that its labelled samples
            are. Empty without a step.
        sums: for each objective the sum of the losses of these steps, with the same shares.
    """

    steps: tuple[float, ...] = ()
    sums: tuple[float, ...] = ()

    def plus(self, other: LossTotals) -> LossTotals:
        """Returns the totals of the steps of both."""
        if not self.steps or not other.steps:
            return self if self.steps else other
        return LossTotals(_added(self.steps, other.steps), _added(self.sums, other.sums))

    def means(self, names: Sequence[str]) -> dict[str, float]:
        """Returns the mean losses by the names of the objectives; without those of which no sample has a label."""
        found = zip(names, self.steps, self.sums, strict=bool(self.steps))
        return {name: total / steps for name, steps, total in found if steps}


NO_LOSSES = LossTotals()
"""The totals of no step."""


def _added(one: tuple[float, ...], other: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(a + b for a, b in zip(one, other, strict=True))


def totals_of(losses: Floats, shares: Floats) -> LossTotals:
    """Returns the totals of some steps.

    Args:
        losses: (steps, objectives) losses of the group.
        shares: (steps, objectives) what each counts, see `share_of`.
    """
    return LossTotals(tuple(shares.sum(axis=0).tolist()), tuple((shares * losses).sum(axis=0).tolist()))


def share_of(batch: Batch, keys: Sequence[str], batch_size: int) -> Floats:
    """Returns the share of a whole batch that the labelled samples of a step are, for the targets under some keys."""
    return np.array([batch.labelled.get(key, batch.global_samples) for key in keys]) / batch_size


def stored_totals(facts: Mapping[str, Any], objectives: int) -> LossTotals:
    """Returns totals from the facts of a checkpoint; earlier versions have one number of steps for all objectives."""
    steps = facts["steps"]
    if isinstance(steps, int | float):
        steps = [steps] * objectives if steps else []
    return LossTotals(tuple(steps), tuple(facts["sums"]))

"""A method that combines the objectives of a task, as its parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hpcmtl.training.multitask.shards.rows import GradientCombiner, RowTransform
    from hpcmtl.training.multitask.weighting import Weighting


@dataclass(frozen=True, kw_only=True)
class CombinationMethod:
    """A method that combines the gradients of objectives: either a weighting, or a combiner of coordinates.

    Attributes:
        weighting: gives one weight an objective.
        transform: makes the rows whose Gramian the weighting gets; None: the gradients themselves.
        combiner: makes the update from coordinates.
    """

    weighting: Weighting | None = None
    transform: RowTransform | None = None
    combiner: GradientCombiner | None = None

"""FAMO: losses fall at an equal relative rate, by losses alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field

from hpcmtl.training.multitask.solvers.descent import DescentOptions, descend, descent_state
from hpcmtl.training.multitask.weightings.base import LOSS_FLOOR, BaseWeighting, finite, one_each

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcmtl.arrays import Arrays, Floats
    from hpcmtl.training.multitask.weighting import ObjectiveMeasurements, WeightingInput
    from hpcmtl.training.multitask.weightings.base import WeightingSetup


class FamoOptions(DescentOptions):
    """Options of `famo`; the decay is gamma of the paper."""

    weight_decay: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1e-3
    least_losses: tuple[Annotated[float, Field(allow_inf_nan=False)], ...] | None = Field(
        default=None, description="lower bounds of the losses, one an objective; default: 0"
    )


class Famo(BaseWeighting[FamoOptions]):
    """Weights c z_i / (L_i - b_i) with z = softmax(xi); xi rises for objectives whose logarithm has fallen least.

    Liu et al., "FAMO: fast adaptive multitask optimization" (NeurIPS 2023, section 3, algorithms 1 and 2). c makes the
    weights sum to 1. The change of the losses is that of one batch under one update.
    """

    needs: frozenset[WeightingInput] = frozenset({"current_losses", "losses_after"})

    def __init__(self, setup: WeightingSetup, options: FamoOptions) -> None:
        super().__init__(setup, options)
        self._bounds = one_each(setup, "least_losses", options.least_losses, 0.0)

    def _initial(self) -> Arrays:
        return {**descent_state(np.zeros(self.count)), "before": np.full(self.count, np.nan)}

    def _distances(self, name: str, losses: Floats | None) -> Floats:
        """Returns the distances of losses to their lower bounds, at least `LOSS_FLOOR`."""
        return np.maximum(finite(self, name, losses) - self._bounds, 0.0) + LOSS_FLOOR

    def weights(self, measured: ObjectiveMeasurements) -> Sequence[float]:
        """See `Weighting`."""
        before = self.values["before"]
        known = np.isfinite(before)  # those with a label in that batch; all others stay
        if known.any():
            after = self._distances("losses_after", measured.losses_after)
            fallen, shares = np.log(before[known]) - np.log(after[known]), self._shares()
            mean = shares[known] @ fallen / shares[known].sum()
            gradient = np.zeros(self.count)
            gradient[known] = shares[known] * (fallen - mean)  # softmax's Jacobian, transposed
            descend(self.values, gradient, self.options)
        distances = self._distances("current_losses", measured.current_losses)
        self.values["before"] = np.where(self.labelled(measured), distances, np.nan)
        scaled = self._shares() / distances
        found: list[float] = (scaled / scaled.sum()).tolist()
        return found

    def _shares(self) -> Floats:
        learnt = self.values["learnt"]
        powers = np.exp(learnt - learnt.max())
        shares: Floats = powers / powers.sum()
        return shares

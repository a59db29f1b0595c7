"""GradNorm: gradients of all objectives get norms that follow their relative rates of training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field

from hpcmtl.training.multitask.solvers.descent import DescentOptions, descend, descent_state
from hpcmtl.training.multitask.weightings.base import BaseWeighting, finite, positive

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcmtl.arrays import Arrays
    from hpcmtl.training.multitask.weighting import ObjectiveMeasurements, WeightingInput

_LEAST = 1e-4


class GradNormOptions(DescentOptions):
    """Options of `gradnorm`."""

    alpha: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.5


class GradNorm(BaseWeighting[GradNormOptions]):
    """Minimises sum_i |w_i n_i - mean(w n) r_i^alpha| over the weights w, which are scaled to the sum T at each step.

    Chen et al., "GradNorm: gradient normalization for adaptive loss balancing in deep multitask networks" (ICML 2018,
    section 3, eq. 2, algorithm 1). n are norms of the gradients, in the paper at the last shared layer. r_i is the
    loss over its first value, divided by the mean of these ratios. The weights of a step are those before its update.
    Weights do not fall below 1e-4: the paper does not say what a negative one means.
    """

    needs: frozenset[WeightingInput] = frozenset({"current_losses", "gramian"})

    def _initial(self) -> Arrays:
        return {**descent_state(np.ones(self.count)), "first": np.full(self.count, np.nan)}

    def weights(self, measured: ObjectiveMeasurements) -> Sequence[float]:
        """See `Weighting`."""
        losses = positive(self, "current_losses", measured.current_losses)
        gramian = finite(self, "gramian", measured.gramian)
        labelled, first = self.labelled(measured), self.values["first"]
        if not labelled.any():
            return self.values["learnt"].tolist()  # type: ignore[no-any-return]
        first = self.values["first"] = np.where(np.isnan(first) & labelled, losses, first)
        norms = np.sqrt(np.maximum(gramian.diagonal(), 0.0))
        weights = self.values["learnt"]
        ratios = np.where(np.isnan(first), 1.0, losses / first)
        weighted = weights * norms
        targets = weighted[labelled].mean() * (ratios / ratios[labelled].mean()) ** self.options.alpha
        descend(self.values, np.sign(weighted - targets) * norms, self.options)
        learnt = np.maximum(self.values["learnt"], _LEAST)
        self.values["learnt"] = self.count * learnt / learnt.sum()
        found: list[float] = weights.tolist()
        return found

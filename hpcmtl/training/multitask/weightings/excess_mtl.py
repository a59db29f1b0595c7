"""ExcessMTL: objectives that are far from their optimum get more weight, whatever the noise of their labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field

from hpcmtl.networks.bounds import MOST
from hpcmtl.networks.spec import Spec
from hpcmtl.training.multitask.weightings.base import GramianWeighting

if TYPE_CHECKING:
    from hpcmtl.arrays import Arrays, Floats

_EPSILON = 1e-7


class ExcessMtlOptions(Spec):
    """Options of `excess_mtl`."""

    learning_rate: Annotated[float, Field(gt=0, allow_inf_nan=False, description="eta of the paper")] = 1.0
    warmup: Annotated[int, Field(ge=0, le=MOST, description="steps of equal weights before the first ones")] = 0


class ExcessMtl(GramianWeighting[ExcessMtlOptions]):
    """Weights that are multiplied by exp(eta e_i / e_i0) at each step, with sum 1, of estimated excess risks e.

    He et al., "Robust multi-task learning with excess risks" (ICML 2024, eq. 6, 7 and 9, section 3.2). e_i is the
    sum over coordinates of g_i^2 / sqrt(sum of all g_i^2 so far): the diagonal of the Gramian of the rows that
    `ExcessRows` makes. e_i0 is the mean of the warm-up; without one it is the first e, at which e itself is the
    exponent, as in the published program. An objective without a gradient, as in a batch without a label of it, rises
    as the mean of the others, and its e_i0 is the first e above 0: else one absent at the start would get all weight.
    """

    def _initial(self) -> Arrays:
        first = {"first": np.zeros(self.count), "step": np.array(0)}
        return {**first, "logarithms": np.full(self.count, -np.log(self.count))}

    def from_gramian(self, gramian: Floats) -> Floats:
        """See `GramianWeighting`."""
        values, excess, warmup = self.values, gramian.diagonal(), self.options.warmup
        step = int(values["step"])
        values["step"] = np.array(step + 1)
        if step < warmup:
            values["first"] = values["first"] + excess / warmup
            return np.full(self.count, 1 / self.count)
        unknown, present = values["first"] == 0, excess > 0
        values["first"] = np.where(unknown, excess, values["first"])
        if warmup or step:
            excess = excess / (values["first"] + _EPSILON)
        others = excess[present].mean() if present.any() else 0.0
        raised = values["logarithms"] + self.options.learning_rate * np.where(present, excess, others)
        powers = np.exp(raised - raised.max())
        # Logarithms, so that a weight that has vanished can come back; bounded, so that it does.
        values["logarithms"] = np.maximum(raised - raised.max() - np.log(powers.sum()), -700.0)
        weights: Floats = powers / powers.sum()
        return weights

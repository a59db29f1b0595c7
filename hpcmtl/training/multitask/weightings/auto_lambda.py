"""Auto-lambda: weights that lower the loss on validation samples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field

from hpcmtl.training.multitask.solvers.descent import DescentOptions, descend, descent_state
from hpcmtl.training.multitask.weightings.base import BaseWeighting, finite

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcmtl.arrays import Arrays
    from hpcmtl.training.multitask.weighting import ObjectiveMeasurements, WeightingInput


class AutoLambdaOptions(DescentOptions):
    """Options of `auto_lambda`."""

    learning_rate: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1e-4
    start: Annotated[float, Field(gt=0, allow_inf_nan=False, description="first weight of all objectives")] = 0.1


class AutoLambda(BaseWeighting[AutoLambdaOptions]):
    """Raises the weight of objectives whose gradient points along that of the validation loss.

    Liu et al., "Auto-lambda: disentangling dynamic task relationships" (TMLR 2022): the weights
    descend on the validation loss after one step of the network. By the chain rule the slope along weight i is minus
    the learning rate times (gradient of objective i).(gradient of the validation loss). The paper takes differences
    for the product, and both gradients after a step; `validation_products` are exact, and before it. Adam, the rule of
    the paper, does not depend on the factor, which is left out. Weights do not fall below 0.
    """

    needs: frozenset[WeightingInput] = frozenset({"validation_products"})

    def _initial(self) -> Arrays:
        return descent_state(np.full(self.count, self.options.start))

    def weights(self, measured: ObjectiveMeasurements) -> Sequence[float]:
        """See `Weighting`."""
        products = finite(self, "validation_products", measured.validation_products)
        descend(self.values, -products, self.options)
        self.values["learnt"] = np.maximum(self.values["learnt"], 0.0)
        found: list[float] = self.values["learnt"].tolist()
        return found

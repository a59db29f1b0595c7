"""MoDo and MoCo: weights that take one step of descent on the norm of the update at each step of the network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field

from hpcmtl.networks.spec import Spec
from hpcmtl.training.multitask.shards.averages import AverageOptions
from hpcmtl.training.multitask.solvers.simplex import project_on_simplex
from hpcmtl.training.multitask.weightings.base import BaseWeighting, GramianWeighting, finite

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcmtl.arrays import Arrays, Floats
    from hpcmtl.training.multitask.weighting import ObjectiveMeasurements, WeightingInput


class MoDoOptions(Spec):
    """Options of `modo`."""

    learning_rate: Annotated[float, Field(gt=0, allow_inf_nan=False, description="gamma of the paper")] = 0.1
    regularisation: Annotated[float, Field(ge=0, allow_inf_nan=False, description="rho of the paper")] = 0.1


class MoCoOptions(MoDoOptions, AverageOptions):
    """Options of `moco`: those of its weights and of its averages."""


class MoDo(BaseWeighting[MoDoOptions]):
    """Weights w, after a step w - gamma (G w + rho w), projected on the simplex; G is of two independent batches.

    Chen, Fernando et al., "Three-way trade-off in multi-objective learning: optimization, generalization and
    conflict-avoidance" (JMLR 2024, eq. 2.9).
    """

    needs: frozenset[WeightingInput] = frozenset({"cross_gramian"})

    def _initial(self) -> Arrays:
        return {"weights": np.full(self.count, 1 / self.count)}

    def weights(self, measured: ObjectiveMeasurements) -> Sequence[float]:
        """See `Weighting`."""
        self.values["weights"] = _after_a_step(
            self.values["weights"], finite(self, "cross_gramian", measured.cross_gramian), self.options
        )
        found: list[float] = self.values["weights"].tolist()
        return found


class MoCo(GramianWeighting[MoCoOptions]):
    """Weights as in `MoDo`, where G is the Gramian of the averages of each objective's gradients (`GradientAverage`).

    Fernando et al., "Mitigating gradient bias in multi-objective learning: a provably convergent stochastic approach"
    (ICLR 2023, algorithm 1). The update combines the averages, not the gradients.
    """

    def _initial(self) -> Arrays:
        return {"weights": np.full(self.count, 1 / self.count)}

    def from_gramian(self, gramian: Floats) -> Floats:
        """See `GramianWeighting`."""
        self.values["weights"] = _after_a_step(self.values["weights"], gramian, self.options)
        return self.values["weights"]


def _after_a_step(weights: Floats, products: Floats, options: MoDoOptions) -> Floats:
    return project_on_simplex(weights - options.learning_rate * (products @ weights + options.regularisation * weights))

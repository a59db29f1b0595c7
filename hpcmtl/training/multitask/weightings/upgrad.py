"""UPGrad and DualProj: projections on the dual cone, in which no loss rises."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field

from hpcmtl.networks.spec import Spec
from hpcmtl.training.multitask.solvers.gramians import normalised
from hpcmtl.training.multitask.solvers.nonnegative import BoundedQuadratic
from hpcmtl.training.multitask.weightings.base import GramianWeighting, one_each

if TYPE_CHECKING:
    from hpcmtl.arrays import Floats
    from hpcmtl.training.multitask.weightings.base import WeightingSetup

_Positive = tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)], ...]


class DualConeOptions(Spec):
    """Options of `upgrad` and `dualproj`.

    Both numbers are for comparisons with other programs, which need 1e-4 for them: `regularisation`, of the trace, is
    added to the diagonal, and gradients whose squared norms sum to less than `least_trace` are not projected.
    """

    preferences: _Positive | None = Field(default=None, description="one weight an objective; default: 1/T each")
    regularisation: Annotated[float, Field(ge=0, le=0.1)] = 0.0
    least_trace: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0


def _projected(gramian: Floats, rows: Floats, options: DualConeOptions) -> Floats:
    """Returns the weights v >= u with the least v.(G v), for each u of `rows`: v.J is the projection of u.J.

    Quinton and Rey, "Jacobian descent for multi-objective optimization" (2024, proposition 1). With v = u + x this is a
    problem in x >= 0.
    """
    scaled = normalised(gramian) if gramian.trace() >= options.least_trace else np.zeros_like(gramian)
    scaled.flat[:: len(scaled) + 1] += options.regularisation
    problem, sides = BoundedQuadratic(scaled), -rows @ scaled
    return rows + (problem.minima(sides) if len(rows) > 1 else problem.minimum(sides[0]))


class _DualCone(GramianWeighting[DualConeOptions]):
    """Base of weightings with projections and preferences."""

    def __init__(self, setup: WeightingSetup, options: DualConeOptions) -> None:
        super().__init__(setup, options)
        self._preferences = one_each(setup, "preferences", options.preferences, 1 / self.count)


class UPGrad(_DualCone):
    """Weights of the mean of the gradients, each projected on the cone of directions in which no loss rises.

    Quinton and Rey, "Jacobian descent for multi-objective optimization" (2024, section 2, eq. 3).
    """

    def from_gramian(self, gramian: Floats) -> Floats:
        """See `GramianWeighting`."""
        weights: Floats = _projected(gramian, np.diag(self._preferences), self.options).sum(axis=0)
        return weights


class DualProj(_DualCone):
    """Weights of the mean gradient, projected on the cone of directions in which no loss rises.

    Lopez-Paz and Ranzato, "Gradient episodic memory for continual learning" (NeurIPS 2017, eq. 11).
    """

    def from_gramian(self, gramian: Floats) -> Floats:
        """See `GramianWeighting`."""
        weights: Floats = _projected(gramian, self._preferences[None], self.options)[0]
        return weights

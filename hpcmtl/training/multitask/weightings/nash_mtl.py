"""Nash-MTL: the update on which objectives would agree if they bargained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field

from hpcmtl.networks.spec import Spec
from hpcmtl.training.multitask.solvers.fair_point import fair_point
from hpcmtl.training.multitask.solvers.gramians import cosines_of
from hpcmtl.training.multitask.weightings.base import GramianWeighting

if TYPE_CHECKING:
    from hpcmtl.arrays import Floats

REGULARISATION = 1e-9
"""Added to cosines: where a combination with positive weights is zero, no bargain would end."""


class NashMtlOptions(Spec):
    """Options of `nash_mtl`."""

    max_norm: Annotated[float, Field(ge=0, allow_inf_nan=False)] = Field(
        default=1.0, description="largest norm of the update over the shared parameters; 0: as it comes, sqrt(T)"
    )


class NashMtl(GramianWeighting[NashMtlOptions]):
    """Weights a > 0 with G a = 1 / a: the bargaining solution of Nash.

    Navon et al., "Multi-task learning as a bargaining game" (ICML 2022, algorithm 1). In units of the norms it is
    K z = 1 / z of the cosines K, a_i = z_i / |g_i|: the scale of a loss has no influence on the update. The update has
    the norm sqrt(T) whatever that of the gradients, so that plain SGD needs a rate that falls. The paper solves a
    sequence of convex problems; the solution is also the least of one convex function, here found by Newton's method.
    Gradients of zero get weight 0.
    """

    def from_gramian(self, gramian: Floats) -> Floats:
        """See `GramianWeighting`."""
        largest = float(gramian.diagonal().max())
        if largest <= 0:
            return np.zeros(self.count)
        scaled = gramian / largest
        found = cosines_of(scaled)
        regular = found.cosines + REGULARISATION * np.eye(len(found.norms))
        weights = found.spread(fair_point(regular, np.ones(len(found.norms)), 1.0) / found.norms)
        norm = max(float(weights @ scaled @ weights), 0.0) ** 0.5
        if 0 < self.options.max_norm < norm:
            weights = weights * (self.options.max_norm / norm)
        result: Floats = weights / np.sqrt(largest)  # `scaled` is the Gramian of gradients divided by this
        return result

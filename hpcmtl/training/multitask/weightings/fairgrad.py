"""FairGrad: alpha-fair shares of the progress of objectives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field

from hpcmtl.networks.spec import Spec
from hpcmtl.training.multitask.solvers.fair_point import fair_point
from hpcmtl.training.multitask.solvers.gramians import cosines_of
from hpcmtl.training.multitask.weightings.base import GramianWeighting
from hpcmtl.training.multitask.weightings.nash_mtl import REGULARISATION

if TYPE_CHECKING:
    from hpcmtl.arrays import Floats


class FairGradOptions(Spec):
    """Options of `fairgrad`."""

    alpha: Annotated[float, Field(ge=0.2, le=5)] = Field(
        default=2.0, description="fairness: 1 is Nash-MTL, small numbers near equal weights, large ones near MGDA"
    )


class FairGrad(GramianWeighting[FairGradOptions]):
    """Weights a > 0 with G a = a^(-1/alpha): alpha-fair progress of all objectives.

    Ban and Ji, "Fair resource allocation in multi-task learning" (ICML 2024, eq. 4, algorithm 1). The paper
    takes nonlinear least squares; the solution is also the least of a convex function. In units of the norms n_i it is
    K z = n^(p-1) z^(-p) of the cosines K, with a = z / n and p = 1/alpha. Gradients of zero get weight 0.
    """

    def from_gramian(self, gramian: Floats) -> Floats:
        """See `GramianWeighting`."""
        largest = float(gramian.diagonal().max())
        if largest <= 0:
            return np.zeros(self.count)
        power = 1 / self.options.alpha
        found = cosines_of(gramian / largest)
        regular = found.cosines + REGULARISATION * np.eye(len(found.norms))
        point = fair_point(regular, found.norms ** (power - 1), power)
        weights: Floats = found.spread(point / found.norms) * largest ** (-1 / (1 + power))
        return weights

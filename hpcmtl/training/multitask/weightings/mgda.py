"""MGDA: the shortest vector in the convex hull of the gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field

from hpcmtl.networks.bounds import MOST
from hpcmtl.networks.spec import Spec
from hpcmtl.training.multitask.solvers.gramians import normalised
from hpcmtl.training.multitask.solvers.simplex import least_norm_weights
from hpcmtl.training.multitask.weightings.base import GramianWeighting

if TYPE_CHECKING:
    from hpcmtl.arrays import Floats


class MgdaOptions(Spec):
    """Options of `mgda`; `epsilon` and `iterations` are those of `frank_wolfe`."""

    solver: Literal["exact", "frank_wolfe"] = "exact"
    epsilon: Annotated[float, Field(gt=0, allow_inf_nan=False, description="least step that goes on")] = 0.001
    iterations: Annotated[int, Field(gt=0, le=MOST)] = 100


class Mgda(GramianWeighting[MgdaOptions]):
    """Weights w >= 0 of sum 1 at which w.(G w) is least; the update lowers every loss, or all could only be traded.

    Desideri, "Multiple-gradient descent algorithm for multiobjective optimization" (C. R. Math. 350, 2012); Sener and
    Koltun, "Multi-task learning as multi-objective optimization" (NeurIPS 2018, eq. 3). `exact` solves the quadratic
    problem; `frank_wolfe` is algorithm 2 of Sener and Koltun, which stops early. An objective with a gradient of zero,
    as in a batch without a label of it, gets the weight 0: as a corner of the hull it would stop all others.
    """

    def from_gramian(self, gramian: Floats) -> Floats:
        """See `GramianWeighting`."""
        moving = gramian.diagonal() > 0
        if moving.any() and not moving.all():
            weights = np.zeros(len(gramian))
            weights[moving] = self.from_gramian(gramian[np.ix_(moving, moving)])
            return weights
        if self.options.solver == "frank_wolfe":
            return self._frank_wolfe(gramian)
        return least_norm_weights(normalised(gramian))

    def _frank_wolfe(self, gramian: Floats) -> Floats:
        weights = np.full(len(gramian), 1 / len(gramian))
        for _ in range(self.options.iterations):
            products = gramian @ weights
            best = int(np.argmin(products))
            mixed, squared, own = products[best], weights @ products, gramian[best, best]
            if own <= mixed:
                step = 1.0
            elif squared <= mixed:
                step = 0.0
            else:
                step = float((squared - mixed) / (squared + own - 2 * mixed))
            weights = (1 - step) * weights
            weights[best] += step
            if step < self.options.epsilon:
                break
        return weights

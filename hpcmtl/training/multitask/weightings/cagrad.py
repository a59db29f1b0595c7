"""CAGrad: the best for the worst objective, near the mean gradient."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field

from hpcmtl.networks.spec import Spec
from hpcmtl.training.multitask.solvers.gramians import normalised
from hpcmtl.training.multitask.solvers.nonnegative import BoundedQuadratic
from hpcmtl.training.multitask.weightings.base import GramianWeighting

if TYPE_CHECKING:
    from hpcmtl.arrays import Bools, Floats

_ITERATIONS = 200
_LEAST_NORM = 1e-100


class CAGradOptions(Spec):
    """Options of `cagrad`."""

    c: Annotated[float, Field(ge=0, lt=1, description="radius around the mean gradient, over its norm")] = 0.4
    stationary: Annotated[float, Field(ge=0, allow_inf_nan=False)] = Field(
        default=1e-4, description="norm of the worst combination, over the sum of its norms, that counts as zero"
    )


class CAGrad(GramianWeighting[CAGradOptions]):
    """Weights of the d with the largest min_i g_i.d among those within c |g_0| of the mean gradient g_0.

    Liu et al., "Conflict-averse gradient descent for multi-task learning" (NeurIPS 2021, algorithm 1). By
    the conditions of the optimum d is g_0 + y.J, where y >= 0 minimises y.(G y)/2 + y.(p - nu), and p are the products
    of all gradients with g_0; the number nu, the value of the worst objective, is the one for which y.J has the norm
    c |g_0|. Where the gradients of the worst objectives cancel each other, no step is good for all of these, and all
    weights are 0.
    """

    def from_gramian(self, gramian: Floats) -> Floats:
        """See `GramianWeighting`."""
        mean = np.full(self.count, 1 / self.count)
        scaled = normalised(gramian)
        products = scaled @ mean
        radius = self.options.c * float(np.sqrt(max(mean @ products, 0.0)))
        if radius <= 1e-12:  # c is 0, or the mean gradient is
            return mean
        added = _of_norm(scaled, products, radius)
        lengths = np.sqrt(np.maximum(scaled.diagonal(), 0.0))
        if radius < self.options.stationary * float(added @ lengths):
            return np.zeros(self.count)
        return mean + added


def _of_norm(gramian: Floats, products: Floats, radius: float) -> Floats:
    """Returns the y >= 0 of norm `radius` that minimises y.(G y)/2 + y.(p - nu) for some number nu.

    The squared norm is a convex, piecewise quadratic function of nu, which grows. On each piece the root is known; it
    is the solution if it has the piece's own support. Otherwise it is the next nu, or the middle of the bounds.
    """
    norms = np.sqrt(gramian.diagonal())
    lower, upper = float(products.min()), float((products + norms * radius).min())
    value, support = upper, np.zeros(len(products), dtype=bool)
    found, problem = np.zeros(len(products)), BoundedQuadratic(gramian)
    for _ in range(_ITERATIONS):
        found = problem.minimum(value - products, support)
        if np.array_equal(found > 0, support):
            break
        support = found > 0
        if found @ gramian @ found > radius**2:
            upper = value
        else:
            lower = value
        root = _root(gramian, products, radius, support)
        value = root if root is not None and lower < root <= upper else (lower + upper) / 2
        if upper - lower <= 1e-15 * max(abs(lower), abs(upper)):
            break
    norm = max(float(found @ gramian @ found), 0.0) ** 0.5
    scaled: Floats = found * (radius / max(norm, _LEAST_NORM))
    return scaled


def _root(gramian: Floats, products: Floats, radius: float, support: Bools) -> float | None:
    """Returns the larger nu at which the solution with a support has norm `radius`; None if there is none."""
    (places,) = np.nonzero(support)
    if not len(places):
        return None
    sides = np.stack([np.ones(len(places)), products[places]], axis=1)
    ones, pulled = np.linalg.lstsq(gramian[np.ix_(places, places)], sides, rcond=None)[0].T
    square, mixed, rest = ones.sum(), pulled.sum(), pulled @ products[places] - radius**2
    inside = mixed**2 - square * rest
    return None if inside < 0 or square <= 0 else float((mixed + np.sqrt(inside)) / square)

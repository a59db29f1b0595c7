"""Projection on the probability simplex, and the point of least norm in the convex hull of gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hpcmtl.training.multitask.solvers.nonnegative import BoundedQuadratic

if TYPE_CHECKING:
    from hpcmtl.arrays import Floats


def project_on_simplex(point: Floats) -> Floats:
    """Returns the nearest point with entries of at least 0 that sum to 1.

    Duchi et al., "Efficient projections onto the l1-ball for learning in high dimensions" (ICML 2008, figure 1).
    """
    descending = sorted(point.tolist(), reverse=True)
    offset = descending[0]  # without it, sums lose no digits
    total, threshold = 0.0, -1.0
    for count, value in enumerate(descending, start=1):
        total += value - offset
        if value - offset <= (total - 1) / count:
            break
        threshold = (total - 1) / count
    found: Floats = np.maximum(point - (offset + threshold), 0.0)
    return found


def least_norm_weights(gramian: Floats) -> Floats:
    """Returns the weights w >= 0 with sum 1 at which w.(gramian w) is least.

    The conditions of Karush, Kuhn and Tucker are those of the least of x.(G x)/2 - sum(x) over x >= 0, with
    w = x / sum(x).

    Args:
        gramian: positive semidefinite matrix of numbers near 1, or zeros.
    """
    found = BoundedQuadratic(gramian).minimum(np.ones(len(gramian)))
    weights: Floats = found / found.sum()
    return weights

"""The positive solution z of K z = c * z^(-p): the optimum of Nash-MTL (p = 1) and FairGrad (p = 1 / alpha)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from hpcmtl.arrays import Floats

_ITERATIONS, _HALVINGS = 200, 30
_LONGEST_STEP, _SHORTEST_RATIO = 3.0, 0.1
_NEAR, _ACCURACY = 1e-4, 1e-6  # of relative steps, after which the error is about their square


def fair_point(matrix: Floats, factors: Floats, power: float) -> Floats:
    """Returns the z > 0 with matrix z = factors * z^(-power), by Newton's method.

    z is where the convex function z.(K z)/2 - sum_i c_i z_i^(1-p)/(1-p), with c_i log z_i for p = 1, is least. A step
    that would bring some z_i near 0 is made in the logarithms of z instead, in which it crosses orders of magnitude.

    Args:
        matrix: (n, n) symmetric positive definite, with ones on the diagonal.
        factors: (n,) numbers above 0.
        power: a number above 0.
    """
    point = factors ** (1 / (1 + power))  # the solution for gradients that are at right angles
    pull = factors * point**-power
    gradient = matrix @ point - pull
    size = np.inf
    for _ in range(_ITERATIONS):
        curvature = matrix.copy()
        curvature.flat[:: len(matrix) + 1] += power * pull / point
        ratios = 1 + np.linalg.solve(curvature, -gradient) / point
        if ratios.min() < _SHORTEST_RATIO:
            ratios = _by_logarithms(matrix, point, gradient, power * pull)
        former, size = size, float(np.abs(ratios - 1).max())
        near = size < _NEAR  # rounding hides slopes here: whole steps are taken, as long as they become shorter
        if near and size > former / 2:
            break
        step = point * (ratios - 1)
        slope, start = float(gradient @ step), point
        for _ in range(_HALVINGS):
            point = start + step
            pull = factors * point**-power
            gradient = matrix @ point - pull
            if near or float(gradient @ step) <= -0.5 * slope:
                break
            step = step / 2
        if size < _ACCURACY:
            break
    return point


def _by_logarithms(matrix: Floats, point: Floats, gradient: Floats, stiffness: Floats) -> Floats:
    """Returns the ratios of the next point to this one after a step of Newton's method in the logarithms.

    The matrix of second derivatives lacks its negative terms, so that the step leads downwards.
    """
    curvature = point[:, None] * matrix * point
    curvature.flat[:: len(matrix) + 1] += point * (np.maximum(gradient, 0.0) + stiffness)
    step = np.linalg.solve(curvature, -gradient * point)
    ratios: Floats = np.exp(step * min(1.0, _LONGEST_STEP / float(np.abs(step).max())))
    return ratios

"""Convex quadratic problems with bounds x >= 0, many at once with one matrix: block principal pivoting."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from hpcmtl.arrays import Bools, Floats

_FULL_EXCHANGES = 3
_TOLERANCE = 1e-12
_RIDGE = 1e-10


def nonnegative_minima(matrix: Floats, sides: Floats) -> Floats:
    """Returns for each row b of `sides` the x >= 0 at which x.(matrix x)/2 - b.x is least.

    Kim and Park, "Fast nonnegative matrix factorization: an active-set-like method and comparisons" (SIAM J. Sci.
    Comput. 33, 2011, algorithm 2): all variables that violate a condition change sides at once; where that makes no
    progress three times, the last of them alone, by which the method ends for every positive definite matrix.

    Unknowns are measured by the square roots of the diagonal, so that gradients of very different norms lose no digits.
    1e-10 of the diagonal is added: of several minima the shortest one in these units is found.

    Args:
        matrix: (n, n) symmetric positive semidefinite.
        sides: (problems, n) right-hand sides.

    Returns:
        (problems, n) minima.
    """
    units = np.sqrt(np.maximum(matrix.diagonal(), 0.0))
    units[units == 0] = 1.0
    scaled = matrix / units[:, None] / units
    scaled.flat[:: len(matrix) + 1] += _RIDGE
    found: Floats = _pivoted(scaled, sides / units) / units
    return found


def _pivoted(matrix: Floats, sides: Floats) -> Floats:
    problems, size = sides.shape
    free = np.zeros((problems, size), dtype=bool)
    found = np.zeros((problems, size))
    slack = -sides
    fewest, exchanges = np.full(problems, size + 1), np.full(problems, _FULL_EXCHANGES)
    bounds = _TOLERANCE * np.maximum(np.abs(sides).max(axis=1, keepdims=True), np.finfo(np.float64).tiny)
    for _ in range(20 * size + 20):
        wrong = np.where(free, found < 0, slack < -bounds)
        counts = wrong.sum(axis=1)
        (open_,) = np.nonzero(counts)
        if not len(open_):
            break
        better = counts < fewest
        exchanges = np.where(better, _FULL_EXCHANGES, exchanges - 1)
        fewest = np.minimum(counts, fewest)
        free ^= _exchanged(wrong, exchanges >= 0)
        found[open_] = _solved(matrix, sides[open_], free[open_])
        slack[open_] = found[open_] @ matrix - sides[open_]
    return np.maximum(found, 0.0)


def _exchanged(wrong: Bools, all_of_them: Bools) -> Bools:
    """Returns the variables that change sides: all wrong ones of a problem, or the last wrong one alone."""
    if all_of_them.all():
        return wrong
    size = wrong.shape[1]
    last = size - 1 - np.argmax(wrong[:, ::-1], axis=1)
    alone = wrong & (np.arange(size) == last[:, None])
    return np.where(all_of_them[:, None], wrong, alone)


def _solved(matrix: Floats, sides: Floats, free: Bools) -> Floats:
    """Returns the solutions of the equations of the free variables, with zeros for the others."""
    found = np.zeros_like(sides)
    if len(free) == 1:
        (places,) = np.nonzero(free[0])
        found[0, places] = np.linalg.solve(matrix[np.ix_(places, places)], sides[0, places])
        return found
    counts = free.sum(axis=1)
    # The free variables of each problem come first; equations of smaller problems are filled up with x = 0.
    places = np.argsort(~free, axis=1, kind="stable")[:, : counts.max()]
    filled = np.arange(places.shape[1]) >= counts[:, None]
    systems = matrix[places[:, :, None], places[:, None, :]]
    systems[filled[:, :, None] | filled[:, None, :]] = 0.0
    diagonal = np.arange(places.shape[1])
    systems[:, diagonal, diagonal] += filled
    right = np.where(filled, 0.0, np.take_along_axis(sides, places, axis=1))
    np.put_along_axis(found, places, np.linalg.solve(systems, right[:, :, None])[:, :, 0], axis=1)
    return found

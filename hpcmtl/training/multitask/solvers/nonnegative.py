"""Convex quadratic problems with bounds x >= 0: block principal pivoting, for one problem or many with one matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from hpcmtl.arrays import Bools, Floats

_FULL_EXCHANGES = 3
_TOLERANCE = 1e-12
_RIDGE = 1e-10


class BoundedQuadratic:
    """Finds for right-hand sides b the x >= 0 at which x.(matrix x)/2 - b.x is least.

    Kim and Park, "Fast nonnegative matrix factorization: an active-set-like method and comparisons" (SIAM J. Sci.
    Comput. 33, 2011, algorithm 2): all variables that violate a condition change sides at once; where that makes no
    progress three times, the last of them alone, by which the method ends for every positive definite matrix.

    Unknowns are measured by the square roots of the diagonal, so that gradients of very different norms lose no digits.
    1e-10 of the diagonal is added: of several minima the shortest one in these units is found.
    """

    def __init__(self, matrix: Floats) -> None:
        """Scales a matrix.

        Args:
            matrix: (n, n) symmetric positive semidefinite.
        """
        self._units = np.sqrt(np.maximum(matrix.diagonal(), 0.0))
        self._units[self._units == 0] = 1.0
        self._scaled = matrix / self._units[:, None] / self._units
        self._scaled.flat[:: len(matrix) + 1] += _RIDGE

    def minimum(self, side: Floats, free: Bools | None = None) -> Floats:
        """Returns the minimum for one right-hand side.

        Args:
            side: (n,) right-hand side.
            free: variables that may be above 0 at the minimum of a similar problem, from which the search begins.
        """
        matrix, side, size = self._scaled, side / self._units, len(side)
        free = np.zeros(size, dtype=bool) if free is None else free.copy()
        found, slack = _solution(matrix, side, free) if free.any() else (np.zeros(size), -side)
        bound = -_TOLERANCE * float(np.abs(side).max())
        fewest, exchanges = size + 1, _FULL_EXCHANGES
        for _ in range(20 * size + 20):
            wrong = np.where(free, found < 0, slack < bound)
            count = int(np.count_nonzero(wrong))
            if count == 0:
                break
            exchanges = _FULL_EXCHANGES if count < fewest else exchanges - 1
            fewest = min(count, fewest)
            if exchanges >= 0:
                free ^= wrong
            else:
                free[np.flatnonzero(wrong)[-1]] ^= True
            found, slack = _solution(matrix, side, free)
        result: Floats = np.maximum(found, 0.0) / self._units
        return result

    def minima(self, sides: Floats) -> Floats:
        """Returns the minima for (problems, n) right-hand sides, all of them at once."""
        matrix, sides = self._scaled, sides / self._units
        problems, size = sides.shape
        free, found, slack = np.zeros(sides.shape, dtype=bool), np.zeros(sides.shape), -sides
        fewest, exchanges = np.full(problems, size + 1), np.full(problems, _FULL_EXCHANGES)
        bounds = -_TOLERANCE * np.abs(sides).max(axis=1, keepdims=True)
        for _ in range(20 * size + 20):
            wrong = np.where(free, found < 0, slack < bounds)
            counts = np.count_nonzero(wrong, axis=1)
            (open_,) = np.nonzero(counts)
            if not len(open_):
                break
            exchanges = np.where(counts < fewest, _FULL_EXCHANGES, exchanges - 1)
            fewest = np.minimum(counts, fewest)
            free ^= _exchanged(wrong, exchanges >= 0)
            found[open_] = _solutions(matrix, sides[open_], free[open_])
            slack[open_] = found[open_] @ matrix - sides[open_]
        result: Floats = np.maximum(found, 0.0) / self._units
        return result


def _exchanged(wrong: Bools, all_of_them: Bools) -> Bools:
    """Returns the variables that change sides: all wrong ones of a problem, or the last wrong one alone."""
    if all_of_them.all():
        return wrong
    size = wrong.shape[1]
    last = size - 1 - np.argmax(wrong[:, ::-1], axis=1)
    alone = wrong & (np.arange(size) == last[:, None])
    return np.where(all_of_them[:, None], wrong, alone)


def _solution(matrix: Floats, side: Floats, free: Bools) -> tuple[Floats, Floats]:
    """Returns the solution of the equations of the free variables, with zeros for the others, and the slack of all."""
    places = np.flatnonzero(free)
    found = np.zeros_like(side)
    found[places] = np.linalg.solve(matrix[places[:, None], places], side[places])
    return found, matrix @ found - side


def _solutions(matrix: Floats, sides: Floats, free: Bools) -> Floats:
    """Returns the solutions of many problems as `_solution`, without slacks."""
    counts, problems = free.sum(axis=1), np.arange(len(sides))[:, None]
    # The free variables of each problem come first; equations of smaller problems are filled up with x = 0.
    places = np.argsort(~free, axis=1, kind="stable")[:, : counts.max()]
    kept = free[problems, places]
    systems = matrix[places[:, :, None], places[:, None, :]] * (kept[:, :, None] & kept[:, None, :])
    diagonal = np.arange(places.shape[1])
    systems[:, diagonal, diagonal] += ~kept
    found = np.zeros_like(sides)
    found[problems, places] = np.linalg.solve(systems, (sides[problems, places] * kept)[:, :, None])[:, :, 0]
    return found

"""Gramians in units that numbers of float64 hold well: divided by their trace, or as cosines and norms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from hpcmtl.arrays import Bools, Floats

SMALLEST_EIGENVALUE = 1e-12
"""Ratio to the largest eigenvalue below which one is rounding: float32 holds the angle between gradients to 1e-7."""
_NOTHING = 1e-9


def normalised(gramian: Floats) -> Floats:
    """Returns a Gramian divided by its trace; zeros stay zeros. Huge and tiny entries neither overflow nor vanish."""
    largest = gramian.diagonal().max()
    if largest <= 0:
        return np.zeros_like(gramian)
    scaled: Floats = gramian / largest
    scaled /= scaled.diagonal().sum()
    return scaled


@dataclass(frozen=True, kw_only=True)
class Cosines:
    """Norms of gradients, and cosines of the angles between those that are not zero.

    Attributes:
        present: (objectives,) true where a gradient is not zero; n of them.
        norms: (n,) norms of these gradients.
        cosines: (n, n) cosines between them, with ones on the diagonal.
    """

    present: Bools
    norms: Floats
    cosines: Floats

    def spread(self, values: Floats) -> Floats:
        """Returns values of all objectives from those of gradients that are not zero; the others are 0."""
        found = np.zeros(len(self.present))
        found[self.present] = values
        return found


def cosines_of(gramian: Floats) -> Cosines:
    """Returns the cosines and norms of the gradients of a Gramian.

    Gradients below 1e-12 of the longest one count as zero: an update in float32 does not show them, and their weights
    would be huge.
    """
    norms = np.sqrt(np.maximum(gramian.diagonal(), 0.0))
    present = norms > 1e-12 * norms.max()
    kept = norms[present]
    cosines = gramian[np.ix_(present, present)] / kept[:, None] / kept
    np.clip(cosines, -1.0, 1.0, out=cosines)
    np.fill_diagonal(cosines, 1.0)
    return Cosines(present=present, norms=kept, cosines=cosines)


def equal_angles(cosines: Floats) -> Floats:
    """Returns the shortest least-squares z of K z = 1: z of the unit gradients has one angle to all of them.

    Eigenvalues of K below `SMALLEST_EIGENVALUE` are left out. z is 0 where no direction has such angles.
    """
    values, vectors = np.linalg.eigh(cosines)
    kept = values > SMALLEST_EIGENVALUE * values[-1]
    basis = vectors[:, kept]
    solution: Floats = basis @ (basis.sum(axis=0) / values[kept])
    return solution if np.abs(solution).max() > _NOTHING else np.zeros_like(solution)

"""ConFIG: an update at the same angle to the gradients of all objectives, of the length of their sum along it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hpcmtl.training.multitask.solvers.gramians import cosines_of, equal_angles
from hpcmtl.training.multitask.weightings.base import GramianWeighting, NoOptions

if TYPE_CHECKING:
    from hpcmtl.arrays import Floats


class ConFig(GramianWeighting[NoOptions]):
    """Weights of the direction with equal angles to all gradients, times the sum of their components along it.

    Liu, Chu and Thuerey, "ConFIG: towards conflict-free training of physics informed neural networks" (ICLR 2025,
    eq. 2): pinv(U) 1 of the unit gradients U is U^T z with K z = 1 of their cosines K. Gradients of zero get weight 0.
    """

    def from_gramian(self, gramian: Floats) -> Floats:
        """See `GramianWeighting`."""
        largest = gramian.diagonal().max()
        if largest <= 0:
            return np.ones(self.count)
        found = cosines_of(gramian / largest)
        solution = equal_angles(found.cosines)
        components = found.cosines @ solution  # of unit gradients along the direction, times its squared length
        square = float(solution @ components)
        if square <= 0:
            return np.zeros(self.count)
        length = float(found.norms @ components) / square
        return found.spread(length * solution / found.norms)

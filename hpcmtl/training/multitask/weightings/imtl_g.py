"""IMTL-G: an update that has the same component along the gradients of all objectives."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hpcmtl.training.multitask.solvers.gramians import cosines_of, equal_angles
from hpcmtl.training.multitask.weightings.base import GramianWeighting, NoOptions

if TYPE_CHECKING:
    from hpcmtl.arrays import Floats


class ImtlG(GramianWeighting[NoOptions]):
    """Weights of sum 1 with equal products d.u_i of the update and all unit gradients u_i.

    Liu et al., "Towards impartial multi-task learning" (ICLR 2021, section 3.1). In units of the norms this is
    K z = 1 of the cosines K, w_i = z_i / |g_i|, so that the scale of a loss has no influence on the direction. z may
    have a negative sum of w; the paper divides by that sum, and would raise all losses: here its size is taken.
    Gradients of zero get weight 0.
    """

    def from_gramian(self, gramian: Floats) -> Floats:
        """See `GramianWeighting`."""
        if gramian.diagonal().max() <= 0:
            return np.full(self.count, 1 / self.count)
        found = cosines_of(gramian / gramian.diagonal().max())
        weights = found.spread(equal_angles(found.cosines) / found.norms)
        total = abs(float(weights.sum()))
        return weights / total if total > 1e-12 * np.abs(weights).sum() else np.zeros(self.count)

"""DB-MTL: logarithms of losses, and gradients of one norm."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hpcmtl.training.multitask.weightings.base import GramianWeighting, NoOptions

if TYPE_CHECKING:
    from hpcmtl.arrays import Floats


class DbMtl(GramianWeighting[NoOptions]):
    """Weights max_j |r_j| / |r_i| of rows r: averages of the gradients of log L_i (`LogGradientAverage`).

    Lin et al., "Dual-balancing for multi-task learning" (2023, algorithm 1). Rows of zero get weight
    0; none gets more than 1e6.
    """

    def from_gramian(self, gramian: Floats) -> Floats:
        """See `GramianWeighting`."""
        norms = np.sqrt(np.maximum(gramian.diagonal(), 0.0))
        largest = norms.max()
        if largest <= 0:
            return np.ones(self.count)
        return np.where(norms > 0, np.minimum(largest / np.maximum(norms, 1e-6 * largest), 1e6), 0.0)

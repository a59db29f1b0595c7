"""IMTL-L: learnt scales that bring the losses to one size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hpcmtl.training.multitask.solvers.descent import DescentOptions, descend, descent_state
from hpcmtl.training.multitask.weightings.base import BaseWeighting, finite

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcmtl.arrays import Arrays
    from hpcmtl.training.multitask.weighting import ObjectiveMeasurements, WeightingInput


class ImtlL(BaseWeighting[DescentOptions]):
    """Minimises sum_i exp(s_i) L_i - s_i over the scales s, along with the network.

    Liu et al., "Towards impartial multi-task learning" (ICLR 2021, section 3.2). The step of s by the losses of one
    step of the network is made before the next one, which is the same as to make both together.
    """

    needs: frozenset[WeightingInput] = frozenset({"losses"})

    def _initial(self) -> Arrays:
        return descent_state(np.zeros(self.count))

    def weights(self, measured: ObjectiveMeasurements) -> Sequence[float]:
        """See `Weighting`."""
        if measured.losses is not None:
            losses = finite(self, "losses", measured.losses)
            descend(self.values, np.exp(self.values["learnt"]) * losses - 1.0, self.options)
        found: list[float] = np.exp(self.values["learnt"]).tolist()
        return found

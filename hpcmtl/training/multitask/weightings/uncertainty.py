"""Uncertainty weighting: learnt variances of the objectives."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hpcmtl.training.multitask.solvers.descent import DescentOptions, descend, descent_state
from hpcmtl.training.multitask.weightings.base import BaseWeighting, finite

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcmtl.arrays import Arrays
    from hpcmtl.training.multitask.weighting import ObjectiveMeasurements, WeightingInput


class Uncertainty(BaseWeighting[DescentOptions]):
    """Minimises sum_i exp(-s_i) L_i / 2 + s_i / 2 over the log-variances s, along with the network.

    Kendall, Gal and Cipolla, "Multi-task learning using uncertainty to weigh losses for scene geometry and semantics"
    (CVPR 2018, section 3.2, with s = log sigma^2 as there). The step of s by the losses of one step of the
    network is made before the next one, which is the same as to make both together.
    """

    needs: frozenset[WeightingInput] = frozenset({"losses"})

    def _initial(self) -> Arrays:
        return descent_state(np.zeros(self.count))

    def weights(self, measured: ObjectiveMeasurements) -> Sequence[float]:
        """See `Weighting`."""
        if measured.losses is not None:
            losses = finite(self, "losses", measured.losses)
            descend(self.values, 0.5 - 0.5 * np.exp(-self.values["learnt"]) * losses, self.options)
        found: list[float] = (0.5 * np.exp(-self.values["learnt"])).tolist()
        return found

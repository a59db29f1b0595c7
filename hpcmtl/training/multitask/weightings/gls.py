"""Geometric loss strategy, and the sum of logarithms, which has the same direction."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hpcmtl.training.multitask.weightings.base import BaseWeighting, NoOptions, positive

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcmtl.training.multitask.weighting import ObjectiveMeasurements, WeightingInput


class Gls(BaseWeighting[NoOptions]):
    """Weights of the gradient of the geometric mean of the losses, (prod L)^(1/T): mean / (T L_i).

    Chennupati et al., "MultiNet++: multi-stream feature aggregation and geometric loss strategy for multi-task
    learning" (CVPR workshops 2019).
    """

    needs: frozenset[WeightingInput] = frozenset({"current_losses"})

    def weights(self, measured: ObjectiveMeasurements) -> Sequence[float]:
        """See `Weighting`."""
        logarithms = np.log(positive(self, "current_losses", measured.current_losses))
        found: list[float] = (np.exp(logarithms.mean() - logarithms) / self.count).tolist()
        return found


class LogLoss(BaseWeighting[NoOptions]):
    """Weights of the gradient of sum_i log L_i, 1 / L_i: no objective counts more because of the unit of its loss.

    Lin et al., "Dual-balancing for multi-task learning" (2023): the half of DB-MTL that needs losses alone.
    """

    needs: frozenset[WeightingInput] = frozenset({"current_losses"})

    def weights(self, measured: ObjectiveMeasurements) -> Sequence[float]:
        """See `Weighting`."""
        found: list[float] = (1.0 / positive(self, "current_losses", measured.current_losses)).tolist()
        return found

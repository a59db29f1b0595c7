"""Random loss weighting: the baseline that a learnt weighting has to exceed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hpcmtl.training.multitask.weightings.base import BaseWeighting, NoOptions
from hpcmtl.training.multitask.weightings.random_stream import step_counter, step_generator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcmtl.arrays import Arrays
    from hpcmtl.training.multitask.weighting import ObjectiveMeasurements


class Rlw(BaseWeighting[NoOptions]):
    """Weights softmax(N(0, 1)), drawn at each step from the seed of the task: equal on all ranks, and after a resume.

    Lin et al., "Reasonable effectiveness of random weighting: a litmus test for multi-task learning" (TMLR 2022,
    algorithm 2).
    """

    def _initial(self) -> Arrays:
        return {"step": np.array(0)}

    def weights(self, measured: ObjectiveMeasurements) -> Sequence[float]:  # noqa: ARG002 - random
        """See `Weighting`."""
        drawn = step_generator(self.setup.seed, step_counter(self.values)).standard_normal(self.count)
        powers = np.exp(drawn - drawn.max())
        found: list[float] = (powers / powers.sum()).tolist()
        return found

"""AdaTask: Adam with moments of each objective of its own, on the shared parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field

from hpcmtl.networks.spec import Spec
from hpcmtl.training.multitask.shards.rows import ShardState

if TYPE_CHECKING:
    from hpcmtl.arrays import Floats

_Decay = Annotated[float, Field(ge=0, lt=1)]


class AdaTaskOptions(Spec):
    """Options of `adatask`."""

    beta1: _Decay = 0.9
    beta2: _Decay = 0.999
    epsilon: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1e-8


class AdaTask(ShardState):
    """Sum over objectives of the update of Adam, with first and second moments of each objective's gradient.

    Yang et al., "AdaTask: a task-aware adaptive learning rate approach to multi-task learning" (AAAI 2023). The
    result is to be applied by plain SGD, whose learning rate is that of Adam. The state is two numbers for each
    objective and coordinate.
    """

    def __init__(self, options: AdaTaskOptions) -> None:
        super().__init__()
        self.options = options

    def combine(self, rows: Floats, first: int) -> Floats:  # noqa: ARG002 - the same at each coordinate
        """See `GradientCombiner`."""
        options, step = self.options, int(self.values.get("step", 0)) + 1
        mean = self.values.get("mean", np.zeros_like(rows))
        square = self.values.get("square", np.zeros_like(rows))
        mean = options.beta1 * mean + (1 - options.beta1) * rows
        square = options.beta2 * square + (1 - options.beta2) * rows**2
        self.values = {"mean": mean, "square": square, "step": np.array(step)}
        corrected = np.sqrt(square / (1 - options.beta2**step)) + options.epsilon
        found: Floats = (mean / (1 - options.beta1**step) / corrected).sum(axis=0)
        return found

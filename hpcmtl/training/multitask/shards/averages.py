"""Running averages of the gradients of each objective, for MoCo and DB-MTL, and rows for ExcessMTL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field

from hpcmtl.networks.spec import Spec
from hpcmtl.training.multitask.shards.rows import ShardState
from hpcmtl.training.multitask.weightings.base import LOSS_FLOOR

if TYPE_CHECKING:
    from collections.abc import Callable

    from hpcmtl.arrays import Floats

_EPSILON = 1e-7


class AverageOptions(Spec):
    """Options of the averages of `moco`, with the values of the published program."""

    average_rate: Annotated[float, Field(gt=0, le=1, description="share of the present gradient: beta")] = 0.5
    average_decay: Annotated[float, Field(ge=0, le=2, description="the share is divided by step^decay")] = 0.5


class DecayingAverageOptions(Spec):
    """Options of the averages of `db_mtl`."""

    keep: Annotated[float, Field(ge=0, lt=1, description="share of the former average: beta; 0: no average")] = 0.9
    keep_decay: Annotated[float, Field(ge=0, le=2, description="the share is divided by step^decay")] = 0.5


class _Average(ShardState):
    """Average of rows over the steps, of which each gets a share of its own."""

    def averaged(self, rows: Floats, share: Callable[[int], float]) -> Floats:
        """Returns y + share (rows - y) of the former average y, which is 0 before the first step."""
        step = int(self.values.get("step", 0)) + 1
        former = self.values.get("average", np.zeros_like(rows))
        average: Floats = former + share(step) * (rows - former)
        self.values = {"average": average, "step": np.array(step)}
        return average


class GradientAverage(_Average):
    """Average of each objective's gradients, to which each step adds a share that falls.

    Fernando et al., "Mitigating gradient bias in multi-objective learning" (ICLR 2023, algorithm 1): y + b (g - y).
    """

    combined, needs_losses = True, False

    def __init__(self, options: AverageOptions) -> None:
        super().__init__()
        self.options = options

    def transform(self, rows: Floats, losses: Floats | None) -> Floats:  # noqa: ARG002 - others need the losses
        """See `RowTransform`."""
        return self.averaged(rows, lambda step: self.options.average_rate / step**self.options.average_decay)


class LogGradientAverage(_Average):
    """Average of the gradients of the logarithms of the losses.

    Lin et al., "Dual-balancing for multi-task learning" (2023, algorithm 1): g + b (y - g).
    """

    combined, needs_losses = True, True

    def __init__(self, options: DecayingAverageOptions) -> None:
        super().__init__()
        self.options = options

    def transform(self, rows: Floats, losses: Floats | None) -> Floats:
        """See `RowTransform`."""
        if losses is None:
            raise ValueError("the gradients of logarithms need the losses of the step")
        logarithmic = rows / (np.maximum(losses, 0.0) + LOSS_FLOOR)[:, None]
        return self.averaged(logarithmic, lambda step: 1 - self.options.keep / step**self.options.keep_decay)


class ExcessRows(ShardState):
    """Rows g_i / (sum of g_i^2 so far)^(1/4), whose squared norms are the excess risks of ExcessMTL.

    He et al. (ICML 2024, eq. 6 and 7). The weights belong to the gradients themselves.
    """

    combined, needs_losses = False, False

    def transform(self, rows: Floats, losses: Floats | None) -> Floats:  # noqa: ARG002 - others need the losses
        """See `RowTransform`."""
        squares = self.values.get("squares", np.zeros_like(rows)) + rows**2
        self.values = {"squares": squares}
        found: Floats = rows / (squares + _EPSILON) ** 0.25
        return found

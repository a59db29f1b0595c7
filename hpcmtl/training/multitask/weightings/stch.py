"""Smooth Tchebycheff scalarisation: nearly the largest of the weighted losses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field

from hpcmtl.networks.spec import Spec
from hpcmtl.training.multitask.weightings.base import BaseWeighting, finite, one_each

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcmtl.training.multitask.weighting import ObjectiveMeasurements, WeightingInput
    from hpcmtl.training.multitask.weightings.base import WeightingSetup

_Numbers = tuple[Annotated[float, Field(allow_inf_nan=False)], ...]
_Positive = tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)], ...]


class StchOptions(Spec):
    """Options of `stch`."""

    mu: Annotated[float, Field(gt=0, allow_inf_nan=False, description="smoothness; 0 would be the maximum")] = 0.1
    preferences: _Positive | None = Field(default=None, description="one factor an objective; default: 1/T each")
    reference: _Numbers | None = Field(default=None, description="least possible losses; default: 0")


class Stch(BaseWeighting[StchOptions]):
    """Weights of the gradient of mu log sum_i exp(p_i (L_i - z_i) / mu), of preferences p and a reference point z.

    Lin et al., "Smooth Tchebycheff scalarization for multi-objective optimization" (ICML 2024, section 3; the largest
    exponent is subtracted as in appendix B.1).
    """

    needs: frozenset[WeightingInput] = frozenset({"current_losses"})

    def __init__(self, setup: WeightingSetup, options: StchOptions) -> None:
        super().__init__(setup, options)
        self._preferences = one_each(setup, "preferences", options.preferences, 1 / self.count)
        self._reference = one_each(setup, "reference", options.reference, 0.0)

    def weights(self, measured: ObjectiveMeasurements) -> Sequence[float]:
        """See `Weighting`."""
        losses = finite(self, "current_losses", measured.current_losses)
        exponents = self._preferences * (losses - self._reference)
        powers = np.exp((exponents - exponents.max()) / self.options.mu)
        found: list[float] = (self._preferences * powers / powers.sum()).tolist()
        return found

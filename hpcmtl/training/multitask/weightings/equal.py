"""Equal and given weights, which never change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from hpcmtl.networks.spec import Spec
from hpcmtl.training.multitask.weightings.base import BaseWeighting, NoOptions, one_each

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcmtl.training.multitask.weighting import ObjectiveMeasurements
    from hpcmtl.training.multitask.weightings.base import WeightingSetup


class Equal(BaseWeighting[NoOptions]):
    """A weight of 1 for each objective: the sum of the losses, the usual baseline."""

    def weights(self, measured: ObjectiveMeasurements) -> Sequence[float]:  # noqa: ARG002 - fixed
        """See `Weighting`."""
        return [1.0] * self.count


class FixedOptions(Spec):
    """Options of `fixed`."""

    weights: Annotated[tuple[Annotated[float, Field(ge=0, allow_inf_nan=False)], ...], Field(min_length=1)]


class Fixed(BaseWeighting[FixedOptions]):
    """Given weights; tuned well, they equal learnt ones on many data sets (Kurin et al., NeurIPS 2022)."""

    def __init__(self, setup: WeightingSetup, options: FixedOptions) -> None:
        super().__init__(setup, options)
        self._weights: list[float] = one_each(setup, "weights", options.weights, 1.0).tolist()

    def weights(self, measured: ObjectiveMeasurements) -> Sequence[float]:  # noqa: ARG002 - fixed
        """See `Weighting`."""
        return self._weights

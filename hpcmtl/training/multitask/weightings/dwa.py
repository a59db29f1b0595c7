"""Dynamic weight average: objectives whose loss falls slowly get more weight."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field

from hpcmtl.networks.spec import Spec
from hpcmtl.training.multitask.weightings.base import BaseWeighting, not_measured, positive

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcmtl.arrays import Arrays
    from hpcmtl.training.multitask.weighting import ObjectiveMeasurements, WeightingInput


class DwaOptions(Spec):
    """Options of `dwa`."""

    temperature: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 2.0


class Dwa(BaseWeighting[DwaOptions]):
    """Weights T softmax(r / temperature), where r_i is the mean loss of the last epoch over that of the epoch before.

    Liu, Johns and Davison, "End-to-end multi-task learning with attention" (CVPR 2019, eq. 7). The first
    two epochs have weights of 1. The mean is over the steps of an epoch.
    """

    needs: frozenset[WeightingInput] = frozenset({"losses", "epoch"})

    def _initial(self) -> Arrays:
        """Returns means of the last two epochs, and the sums of the present one; -1: not yet known."""
        unknown = np.full(self.count, -1.0)
        means = {"newer": unknown, "older": unknown.copy()}
        return {**means, "sums": np.zeros(self.count), "steps": np.array(0), "epoch": np.array(0)}

    def weights(self, measured: ObjectiveMeasurements) -> Sequence[float]:
        """See `Weighting`."""
        values = self.values
        if measured.epoch is None:
            raise not_measured(self, "epoch")
        if measured.losses is not None:  # of the last step of an epoch too: it is added before the epoch ends
            values["sums"] = values["sums"] + positive(self, "losses", measured.losses)
            values["steps"] = values["steps"] + 1
        if measured.epoch > values["epoch"] and values["steps"] > 0:
            values["older"], values["newer"] = values["newer"], values["sums"] / values["steps"]
            values["sums"], values["steps"] = np.zeros(self.count), np.array(0)
            values["epoch"] = np.array(measured.epoch)
        if (values["older"] < 0).any():
            return [1.0] * self.count
        scaled = values["newer"] / values["older"] / self.options.temperature
        powers = np.exp(scaled - scaled.max())
        found: list[float] = (self.count * powers / powers.sum()).tolist()
        return found

"""Trimmed mean: at each coordinate the mean without the largest and the smallest values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field

from hpcmtl.errors import InputError, Problem
from hpcmtl.networks.spec import Spec
from hpcmtl.training.multitask.shards.rows import ShardState

if TYPE_CHECKING:
    from hpcmtl.arrays import Floats
    from hpcmtl.training.multitask.weightings.base import WeightingSetup


class TrimmedMeanOptions(Spec):
    """Options of `trimmed_mean`."""

    trim: Annotated[int, Field(ge=0, description="values that are left out at either end")] = 1


class TrimmedMean(ShardState):
    """Mean of the gradients at each coordinate, without the `trim` largest and smallest.

    Yin et al., "Byzantine-robust distributed learning: towards optimal statistical rates" (ICML 2018, definition 2).
    """

    def __init__(self, setup: WeightingSetup, options: TrimmedMeanOptions) -> None:
        super().__init__()
        self._trim, count = options.trim, len(setup.objectives)
        if 2 * self._trim >= count:
            text = f"found {self._trim}, and the task has {count} objectives, of which none would be left"
            raise InputError([Problem("trim", f"{text}; write at most {(count - 1) // 2}")])

    def combine(self, rows: Floats, first: int) -> Floats:  # noqa: ARG002 - the same at each coordinate
        """See `GradientCombiner`."""
        ordered = np.sort(rows, axis=0)
        found: Floats = ordered[self._trim : len(rows) - self._trim].mean(axis=0)
        return found

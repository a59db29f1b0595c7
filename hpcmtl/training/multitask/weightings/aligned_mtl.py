"""Aligned-MTL: gradients are replaced by nearby ones that are orthogonal and equally long."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field

from hpcmtl.networks.spec import Spec
from hpcmtl.training.multitask.solvers.gramians import SMALLEST_EIGENVALUE
from hpcmtl.training.multitask.weightings.base import GramianWeighting, one_each

if TYPE_CHECKING:
    from hpcmtl.arrays import Floats
from hpcmtl.training.multitask.weightings.base import WeightingSetup

_Positive = tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)], ...]


class AlignedMtlOptions(Spec):
    """Options of `aligned_mtl`."""

    scale: Literal["min", "median", "rmse"] = Field(
        default="min", description="singular value that all get; rmse as in the published program"
    )
    preferences: _Positive | None = Field(default=None, description="one weight an objective; default: 1/T each")


class AlignedMtl(GramianWeighting[AlignedMtlOptions]):
    """Weights sqrt(lambda) V L^(-1/2) V^T p of the eigenvalues L and eigenvectors V of the Gramian.

    Senushkin et al., "Independent component alignment for multi-task learning" (CVPR 2023, algorithm 1): the
    matrix of gradients gets singular values that are all equal. Eigenvalues below `SMALLEST_EIGENVALUE` are left out.
    """

    def __init__(self, setup: WeightingSetup, options: AlignedMtlOptions) -> None:
        super().__init__(setup, options)
        self._preferences = one_each(setup, "preferences", options.preferences, 1 / self.count)

    def from_gramian(self, gramian: Floats) -> Floats:
        """See `GramianWeighting`."""
        largest = gramian.diagonal().max()
        if largest <= 0:
            return self._preferences.copy()
        values, vectors = np.linalg.eigh(gramian / largest)
        kept = values > values[-1] * SMALLEST_EIGENVALUE
        values, vectors = values[kept], vectors[:, kept]
        # The lower middle value of an even number, as in the published program.
        chosen = {"min": values[0], "median": values[(len(values) - 1) // 2], "rmse": values.mean()}
        shares = (self._preferences @ vectors) / np.sqrt(values)
        weights: Floats = np.sqrt(chosen[self.options.scale]) * (vectors @ shares)
        return weights

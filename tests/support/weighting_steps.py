"""Makes methods that combine objectives, and runs them on given measurements, without a network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.training.multitask.methods import make_method
from hpcmtl.training.multitask.weighting import ObjectiveMeasurements
from hpcmtl.training.multitask.weightings.base import WeightingSetup

if TYPE_CHECKING:
    from hpcmtl.arrays import Floats
    from hpcmtl.training.multitask.methods import CombinationMethod

OF_GRAMIANS = (
    "mgda",
    "pcgrad",
    "gradvac",
    "cagrad",
    "imtl_g",
    "nash_mtl",
    "fairgrad",
    "aligned_mtl",
    "upgrad",
    "dualproj",
    "config",
    "db_mtl",
    "excess_mtl",
    "moco",
)
"""Methods whose weighting needs the Gramian alone."""


def made(name: str, count: int, seed: int = 7, **options: Any) -> CombinationMethod:
    """Returns a method for some objectives."""
    return make_method(
        name, options, WeightingSetup(objectives=tuple(f"o{place}" for place in range(count)), seed=seed)
    )


def weights_for(name: str, gramian: Floats, **options: Any) -> Floats:
    """Returns the weights of a new weighting for a Gramian."""
    weighting = made(name, len(gramian), **options).weighting
    return np.array(weighting.weights(ObjectiveMeasurements(gramian=gramian)))

"""The number that stands for a missing value in an array."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.networks.objective import NAN

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from hpcmtl.networks.objective import Missing

    Known = NDArray[np.bool_]

MISSING = "missing"
"""Attribute of a dataset whose missing values are a number."""


def is_known(values: NDArray[Any], missing: Missing) -> Known:
    """Returns which values are not the number that stands for a missing one, in the shape of the values."""
    if missing == NAN:
        return ~np.isnan(values) if values.dtype.kind == "f" else np.ones(values.shape, np.bool_)
    # As the values are stored: -0.1 in float32 is another number than in float64.
    with np.errstate(over="ignore"):
        wanted = np.float64(missing) if values.dtype.kind in "iub" else values.dtype.type(missing)
    return np.asarray(values != wanted)


def declared(attributes: Mapping[str, Any]) -> frozenset[Missing]:
    """Returns the number that stands for missing values by the attributes of a dataset; none if none does."""
    given = attributes.get(MISSING)
    if not isinstance(given, int | float | np.integer | np.floating):  # files of before 2026-12 may have a text there
        return frozenset()
    value = float(given)
    found: Missing = NAN if math.isnan(value) else value
    return frozenset({found})

"""Comparison of two sets of arrays that should be equal but for rounding, with words for what differs most."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hpcmtl.arrays import Arrays

NOISE = 1e-6
"""Bound relative to the largest number of all arrays: below it a difference is rounding."""
_CLOSE, _TINY = 1e-3, 1e-37  # bound relative to the array's own largest number, and the least bound


def largest_difference(found: Arrays, expected: Arrays, bounds: Mapping[str, float] | None = None) -> str:
    """Returns the array that differs most, over its bound, with both values; an empty text for none."""
    noise = NOISE * largest_number(expected.values())
    worst, text = 1.0, ""
    for name, array in expected.items():
        bound = _CLOSE * largest_number([array]) + noise if bounds is None else bounds[name]
        bound = max(bound, _TINY)
        with np.errstate(invalid="ignore"):
            apart = np.abs(np.atleast_1d(found[name]) - array)  # a parameter may be one number without an axis
        apart[np.isnan(apart)] = 0.0  # both are infinite or no numbers
        apart[np.isfinite(found[name]) != np.isfinite(array)] = np.inf
        place = int(apart.argmax()) if apart.size else 0
        if apart.size and apart.flat[place] > worst * bound:
            worst = float(apart.flat[place]) / bound
            text = f"{name} is {found[name].flat[place]:.6g} and not {array.flat[place]:.6g}"
    return text


def largest_number(arrays: Iterable[np.ndarray[Any, Any]]) -> float:
    """Returns the largest finite absolute value of some arrays."""
    return max((float(np.abs(each[np.isfinite(each)]).max(initial=0.0)) for each in arrays), default=0.0)

"""Makes the samples on which a network is tried before its data are there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from hpcmtl.networks.models import Shape


def trial_rows(count: int, sample: Shape) -> np.ndarray[Any, Any]:
    """Returns samples of ones, (count, *sample) float32.

    Not zeros: a network may count the values of a sample that are no padding, and take the last of them. An operator
    that takes the last value of a sequence of length 0 may read memory outside its array, which at times ends the
    process.
    """
    return np.ones((count, *sample), np.float32)

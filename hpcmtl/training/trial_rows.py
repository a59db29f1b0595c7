"""Makes the samples on which a network is tried before its data are there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.training.network_inputs import input_type

if TYPE_CHECKING:
    from hpcmtl.networks.input_values import InputValues
    from hpcmtl.networks.models import Shape


def trial_rows(count: int, sample: Shape, values: InputValues) -> np.ndarray[Any, Any]:
    """Returns samples of ones, (count, *sample), in the type that a network takes.

    Not zeros: a network may count the values of a sample that are no padding, and take the last of them. An operator
    that takes the last value of a sequence of length 0 may read memory outside its array, which at times ends the
    process.
    """
    return np.ones((count, *sample), input_type(values))

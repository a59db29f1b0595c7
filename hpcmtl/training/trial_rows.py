"""Makes the samples on which a network is tried before its data are there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hpcmtl.training.network_inputs import input_type

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hpcmtl.arrays import Arrays
    from hpcmtl.networks.input_values import InputValues
    from hpcmtl.networks.shapes import InputShapes


def trial_rows(count: int, samples: InputShapes, values: Mapping[str, InputValues]) -> Arrays:
    """Returns samples of ones of each input, (count, *shape of a sample), in the type that a network takes.

    Not zeros: a network may count the values of a sample that are no padding, and take the last of them. An operator
    that takes the last value of a sequence of length 0 may read memory outside its array, which at times ends the
    process.
    """
    return {name: np.ones((count, *samples[name]), input_type(each)) for name, each in values.items()}

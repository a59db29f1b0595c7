"""The largest difference of arrays is found and named, whatever their shapes."""

from __future__ import annotations

import numpy as np

from hpcmtl.training.array_difference import largest_difference


def test_numbers_without_an_axis_are_compared():
    """A parameter may be one number: equal ones have no difference, others are named with both values."""
    one, other = {"scale": np.float32(1.0)}, {"scale": np.float32(1.5)}

    assert largest_difference(one, dict(one)) == ""
    assert largest_difference(one, other) == "scale is 1 and not 1.5"
    assert largest_difference({"scale": np.array(np.nan)}, other) == "scale is nan and not 1.5"

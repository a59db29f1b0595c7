"""Samples reach a network as float32 or as integers, and integers are those that it takes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from hpcmtl.errors import InputError
from hpcmtl.networks.input_values import FLOATS, InputValues
from hpcmtl.training.network_inputs import input_type, require_taken
from hpcmtl.training.trial_rows import trial_rows

IDS = InputValues(integers=True)
SHAPES = st.tuples(st.integers(1, 4), st.integers(1, 4))
ANY = arrays.arrays(np.int64, SHAPES, elements=st.integers(-(2**63), 2**63 - 1))


@given(ANY, st.integers(2, 2**62))
def test_integers_of_a_vocabulary(ids, below):
    """Samples are refused exactly if some value is negative or not below the size of the vocabulary."""
    values = InputValues(integers=True, below=below)
    outside = ((ids < 0) | (ids >= below)).any(axis=1)
    require_taken("input", ids, IDS)
    if outside.any():
        with pytest.raises(InputError, match=rf"sample ({'|'.join(map(str, np.nonzero(outside)[0]))}) holds"):
            require_taken("input", ids, values)
    else:
        require_taken("input", ids, values)


@pytest.mark.parametrize(
    ("ids", "said"),
    [
        (np.zeros((2, 3)), "has values of type float64; the network takes integers"),
        (np.zeros((0, 3), np.float32), "has values of type float32"),
        (np.array([[0], [2**63]], np.uint64), "sample 1 holds 9223372036854775808, which int64 cannot hold"),
    ],
)
def test_what_no_integer_network_takes(ids, said):
    """Floats, also without a sample, and integers that int64 does not hold."""
    with pytest.raises(InputError, match=said):
        require_taken("input", ids, IDS)
    require_taken("input", ids, FLOATS)


@pytest.mark.parametrize("ids", [np.array([[True]]), np.zeros((0, 2), np.uint8), np.array([[255]], np.uint8)])
def test_types_of_integers(ids):
    """Truth values, no samples, and small types are taken."""
    require_taken("input", ids, IDS)


def test_trial_rows_have_the_type_of_the_network():
    """Samples of ones are float32, or int64 for a network that takes integers."""
    made = [trial_rows(2, {"input": (3,)}, {"input": values})["input"] for values in (FLOATS, IDS)]

    assert [each.dtype for each in made] == [np.float32, np.int64] == [input_type(FLOATS), input_type(IDS)]
    assert all(np.array_equal(each, np.ones((2, 3))) for each in made)

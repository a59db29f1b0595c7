"""Functions of users as transforms: what they are given, and what is refused by name."""

from __future__ import annotations

import numpy as np
import pytest

from hpcmtl.data.transforming.own_function import own_function
from hpcmtl.data.transforming.sample_random import SampleRandom
from hpcmtl.errors import InputError
from hpcmtl.jobfile.transforms import OwnTransform

ROWS = np.arange(12, dtype=np.float32).reshape(4, 3)
NUMBERS = np.array([5, 2, 9, 40])


def call(name, **arguments):
    """Call a function of own_transforms on four samples."""
    given = OwnTransform(name=name if ":" in name else f"own_transforms:{name}", arguments=arguments)
    return own_function(given)(ROWS, NUMBERS, SampleRandom(NUMBERS, 1))


def test_a_function_gets_what_it_asks_for():
    """One, two or three arguments: samples, their numbers, random numbers; and arguments by name."""
    own = np.stack([each.normal(size=3) for each in _drawn().generators()])
    drawn = _drawn()
    drawn.generators()

    assert np.array_equal(call("doubled"), ROWS * 2)
    assert np.array_equal(call("with_rows"), ROWS + NUMBERS[:, None])
    np.testing.assert_allclose(call("jittered", strength=2), ROWS + 2 * (drawn.uniform(3) + own), rtol=1e-6)


def _drawn():
    return SampleRandom(NUMBERS, 1)


def test_a_function_may_change_what_it_is_given():
    """The rows that are kept in memory for the next epoch stay as they are."""
    before = ROWS.copy()

    assert np.array_equal(call("in_place"), before + 1)
    assert np.array_equal(ROWS, before)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("missing", "own_transforms:missing: cannot be imported"),
        ("no_such_module:f", "no_such_module:f: cannot be imported"),
        ("NOT_A_FUNCTION", "is a int, not a function"),
        ("of_four", "'more'): it is given inputs, rows, random, or the first of these"),
        ("fewer", "returns 3 rows for 4 samples; it returns one for each"),
        ("smaller", "makes samples of shape (2,), but the network takes (3,)"),
        ("undefined", "makes nan of sample 40; a network takes finite numbers"),
        ("listed", "returns a list; it returns the array of the changed samples"),
        ("in_words", "returns an array of <U32; a network takes numbers"),
        ("raising", "fails for samples 5, 2, 9 and 1 more: ValueError: on purpose"),
    ],
)
def test_what_is_no_transform_is_refused(name, said):
    """The message names the function, and what was found in place of the samples that a network takes."""
    with pytest.raises(InputError) as raised:
        call(name)

    assert said in str(raised.value)


def test_an_argument_that_it_lacks_is_refused():
    """An argument by name that the function does not take."""
    with pytest.raises(InputError, match="cannot be called .*unexpected keyword argument 'width'"):
        call("doubled", width=2)

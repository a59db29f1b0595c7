"""Weighted means of parameters: by hand-made numbers, and what members must have in common."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from hpcmtl.exchange.packed_arrays import pack
from hpcmtl.training.coupling.merging import combine, contribution

FLOATS = arrays_of.arrays(np.float32, (3, 2), elements=st.floats(-100, 100, width=32))


def merged(*members):
    """Returns the parameters that members have together."""
    return combine({str(number): contribution(*member) for number, member in enumerate(members)}).arrays()


def test_weights():
    """Equal weights give the mean, samples weigh by their number, precision number by number."""
    one, other = {"w": np.array([0.0, 4.0], np.float32)}, {"w": np.array([1.0, 8.0], np.float32)}
    precise, vague = {"w": np.array([3.0, 0.0])}, {"w": np.array([1.0, 0.0])}

    assert merged((one, 1.0), (other, 1.0))["w"].tolist() == [0.5, 6.0]
    assert merged((one, 30.0), (other, 10.0))["w"].tolist() == [0.25, 5.0]
    assert merged((one, 1.0, precise), (other, 1.0, vague))["w"].tolist() == pytest.approx([0.25, 6.0])
    assert merged((one, 1.0), (other, 1.0))["w"].dtype == np.float32


@given(FLOATS, st.integers(1, 5))
def test_equal_members_stay_as_they_are(array, count):
    """A value that all members agree on is not changed by a single bit."""
    assert np.array_equal(merged(*[({"w": array}, 1.0)] * count)["w"], array)


@given(FLOATS, FLOATS)
def test_the_order_of_members_does_not_matter(one, other):
    """Two members come to the same bits in either order."""
    assert np.array_equal(
        merged(({"w": one}, 1.0), ({"w": other}, 1.0))["w"], merged(({"w": other}, 1.0), ({"w": one}, 1.0))["w"]
    )


def test_other_parameters_are_refused():
    """Members with other names or shapes are named, with the first that differs."""
    with pytest.raises(ValueError, match=r"0 has value/v with shape None, 1 with \(2,\)"):
        merged(({"w": np.ones(2)}, 1.0), ({"w": np.ones(2), "v": np.ones(2)}, 1.0))
    with pytest.raises(ValueError, match=r"value/w with shape \(2,\), 1 with \(3,\)"):
        merged(({"w": np.ones(2)}, 1.0), ({"w": np.ones(3)}, 1.0))


@settings(max_examples=min(25, settings.default.max_examples))
@given(
    st.dictionaries(
        st.text(min_size=1),
        arrays_of.arrays(
            arrays_of.floating_dtypes(sizes=(16, 32, 64)) | arrays_of.integer_dtypes(),
            arrays_of.array_shapes(min_dims=0, min_side=0),
        ),
        max_size=5,
    )
)
def test_unpacking_restores_what_was_packed(arrays):
    """Any names, shapes and dtypes, empty arrays and numbers without axes included."""
    found = pack(arrays).arrays()

    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        assert found[name].tobytes() == array.tobytes()

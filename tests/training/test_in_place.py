"""Snapshots of objects tell that their content has changed, and give it back, with few copies of large arrays."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hn

from hpcmtl.training import in_place
from hpcmtl.training.in_place import COPIED, fingerprint, set_back, snapshot

ARRAYS = hn.arrays(
    st.sampled_from(["u1", "f4", "i8", "M8[D]", "U3"]), hn.array_shapes(max_dims=3, max_side=40), fill=st.nothing()
)


@given(ARRAYS, st.data())
def test_a_change_of_one_number_is_seen(array, data):
    """The fingerprint is that of the bytes: equal for a copy, another one when any byte is another."""
    before, copy = fingerprint(array), array.copy()
    octets = copy.reshape(-1).view(np.uint8)
    place = data.draw(st.integers(0, octets.size - 1))

    assert fingerprint(copy) == before
    octets[place] ^= data.draw(st.integers(1, 255))
    assert fingerprint(copy) != before


def test_the_order_of_equal_numbers_counts():
    """Rows that change places are a change, wherever they lie."""
    table = np.arange(8 * 4096, dtype=np.int64).reshape(8, -1)
    before = fingerprint(table)
    for one, other in ((0, 7), (3, 4)):
        swapped = table.copy()
        swapped[[one, other]] = swapped[[other, one]]

        assert fingerprint(swapped) != before
    table[0, :2] = table[0, 1::-1]
    assert fingerprint(table) != before


@pytest.mark.parametrize(
    "value",
    [
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(10)[::2],
        np.array([1, None], object),
        np.zeros((0, 3)),
        np.array(5, "f4"),
        np.broadcast_to(np.ones(1), (5,)),
    ],
)
def test_former_content(value):
    """A snapshot gives a new object with the content of its moment, as often as it is asked."""
    held = {"rows": value, "count": [1, 2]}
    taken = snapshot(held)
    first, second = taken.former(), taken.former()
    first["count"].append(3)

    assert taken == snapshot(held, copied=False)
    assert second["count"] == [1, 2]
    np.testing.assert_array_equal(second["rows"], value)
    assert second["rows"].flags.writeable


def test_large_arrays_are_not_copied():
    """Over the bound an object is compared without a copy, and changes are seen."""
    table = np.zeros(COPIED + 1, np.uint8)
    tracemalloc.start()
    taken = snapshot({"table": table})
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    table[-1] = 1

    assert most < COPIED / 32
    assert taken != snapshot({"table": table}, copied=False)
    with pytest.raises(ValueError, match="were not copied"):
        taken.former()


def test_what_cannot_be_pickled_is_compared_by_identity():
    """A function has no snapshot, and its mark is its own."""
    first, second = (lambda: 0), (lambda: 0)

    assert snapshot(first) is None
    assert in_place.mark_of(first) == in_place.mark_of(first) != in_place.mark_of(second)


def test_one_object_in_several_places():
    """A pass that moves the newest array to the place of an older one: each place gets its own content back."""
    ring = [np.zeros(2), np.ones(2)]
    before = snapshot(ring)
    ring[0] = ring[1]
    set_back(ring, before.former())

    np.testing.assert_array_equal(ring, [[0, 0], [1, 1]])


def test_places_that_shared_an_object_share_it_again():
    """Two places of one object have this one object again after a pass."""
    one = np.zeros(2)
    pair = [one, one]
    before = snapshot(pair)
    one += 1
    set_back(pair, before.former())

    assert pair[0] is pair[1] is one
    assert not one.any()

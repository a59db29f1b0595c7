"""Named arrays come out of one buffer as they went in."""

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from hpcmtl.exchange.packed_arrays import PackedArrays, pack


@settings(max_examples=min(40, settings.default.max_examples))
@given(
    st.dictionaries(
        st.text(max_size=3),
        npst.arrays(st.sampled_from(["f2", "f4", "f8", "i8", "u1", "?"]), npst.array_shapes(min_dims=0, min_side=0)),
        max_size=4,
    )
)
def test_packed_arrays_come_out_again(arrays):
    """Names, dtypes, shapes and bits survive the way through one array of bytes, in order."""
    packed = pack(arrays)
    found = PackedArrays(packed.layout, packed.buffer.copy()).arrays()

    assert list(found) == list(arrays)
    for name, array in arrays.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        assert found[name].tobytes() == array.tobytes()
        assert array.size == 0 or found[name].ctypes.data % array.itemsize == 0

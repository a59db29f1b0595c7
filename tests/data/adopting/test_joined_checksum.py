"""Checksums of pieces are joined to that of the whole, as zlib computes it."""

from __future__ import annotations

import zlib

from hypothesis import given
from hypothesis import strategies as st

from hpcmtl.data.adopting.joined_checksum import joined_checksum


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_two_pieces(first, second):
    """The joined checksum is zlib's of both pieces, also where one is empty."""
    joined = joined_checksum(zlib.crc32(first), zlib.crc32(second), len(second))

    assert joined == zlib.crc32(first + second)


def test_a_large_piece():
    """The number of bytes may be any, such as that of a block."""
    second = bytes(range(256)) * 5000

    assert joined_checksum(zlib.crc32(b"abc"), zlib.crc32(second), len(second)) == zlib.crc32(b"abc" + second)

"""The CRC-32 of bytes from those of their parts, so that ranks can read the parts side by side; pure."""

from __future__ import annotations

from functools import lru_cache

_POLYNOMIAL = 0xEDB88320
_ONE = 1 << 31
"""The polynomial 1; bit 31 has the coefficient of the power 0."""


def joined_checksum(first: int, second: int, size: int) -> int:
    """Returns the CRC-32 of two pieces of bytes, one after the other.

    Args:
        first: CRC-32 of the first piece.
        second: CRC-32 of the second piece.
        size: bytes of the second piece.
    """
    return _product(_power(8 * size), first) ^ second


@lru_cache(maxsize=64)
def _power(exponent: int) -> int:
    """Returns x to a power, modulo the polynomial of CRC-32."""
    found, base = _ONE, _ONE >> 1
    while exponent:
        if exponent & 1:
            found = _product(found, base)
        base = _product(base, base)
        exponent >>= 1
    return found


def _product(left: int, right: int) -> int:
    """Returns the product of two polynomials over two elements, modulo that of CRC-32."""
    found = 0
    while left:
        if left & _ONE:
            found ^= right
        left = (left << 1) & 0xFFFFFFFF
        right = (right >> 1) ^ _POLYNOMIAL if right & 1 else right >> 1
    return found

"""Text in HDF5: UTF-8 of fixed length, since libhdf5 2.0 can loop for ever in a damaged heap of variable-length text.

An attribute has the number of characters, so that an array comes back with the type that it had.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

CHARACTERS = "characters"


def stored_form(array: NDArray[Any]) -> tuple[NDArray[Any], np.dtype[Any], dict[str, Any]]:
    """Returns an array as it is stored, the type of its dataset, and the attributes that give its own type back."""
    if array.dtype.kind != "U":
        plain = array.dtype.newbyteorder("=")
        return array, plain, {}
    encoded = np.char.encode(array, "utf-8")
    length = max(encoded.dtype.itemsize, 1)
    attributes = {CHARACTERS: np.uint32(max(array.dtype.itemsize // 4, 1))}
    dtype = h5py.string_dtype("utf-8", length)
    return encoded.astype(dtype), dtype, attributes


def own_dtype(dtype: np.dtype[Any], attributes: Mapping[str, Any]) -> np.dtype[Any]:
    """Returns the type of an array from those of its dataset; without metadata of h5py."""
    if CHARACTERS in attributes:
        return np.dtype(f"U{int(attributes[CHARACTERS])}")
    return np.dtype(dtype.str)


def own_form(stored: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Returns stored values with their own type, see `own_dtype`."""
    if dtype.kind == "U" and stored.dtype.kind == "S":
        return np.char.decode(stored, "utf-8").astype(dtype)
    return stored.astype(dtype, copy=False)

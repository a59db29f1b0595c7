"""Arrays as people give them: arrays, lists and scalars; what would lose values on its way is refused with a remedy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

REMEDIES = {
    "M": 'dates; give numbers and say their unit, e.g. .astype("datetime64[s]").astype("int64")',
    "m": 'times; give numbers and say their unit, e.g. .astype("timedelta64[s]").astype("int64")',
    "O": "Python objects; give numbers, truth values or text of one type",
    "V": "records; give each field as an array of its own",
}
"""Kind of a numpy type that no file holds -> its name, and what to give instead."""


def given_array(value: Any) -> NDArray[Any]:
    """Returns a value as an array; one of numpy, or one that can be sliced like it, is not copied.

    Raises:
        ValueError: a mask would be lost, or the value is no array; the message is the rest of a sentence.
    """
    if _has_mask(value):
        raise ValueError("is masked, and its mask would be lost; give .filled(VALUE), and the mask as another array")
    dtype = getattr(value, "dtype", None)
    if isinstance(dtype, np.dtype) and dtype.kind != "O":
        return value  # type: ignore[no-any-return]  # memory maps and datasets of HDF5 are read block by block
    try:
        array = np.asarray(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"is no array: {error}") from error
    text = array.dtype.kind == "O" and array.size and all(isinstance(each, str) for each in array.flat)
    return array.astype(str) if text else array


def _has_mask(value: Any) -> bool:
    if isinstance(value, np.ma.MaskedArray):
        return bool(np.any(value.mask))
    return isinstance(value, list | tuple) and any(_has_mask(each) for each in value if not isinstance(each, str))

"""Rows of a data artifact by split."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.data.split import SPLIT_CODES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from hpcmtl.arrays import Arrays

_SPLIT = "split"


def rows_by_split(arrays: Mapping[str, NDArray[Any]]) -> dict[str, Arrays]:
    """Returns the rows of arrays by split, without splits that have none.

    Args:
        arrays: name -> (samples, ...), and ``split`` with the code of each sample.
    """
    split = arrays[_SPLIT]
    numbers = {name: np.flatnonzero(split == code) for name, code in SPLIT_CODES.items()}
    named = {name: array for name, array in arrays.items() if name != _SPLIT}
    return {name: {key: array[rows] for key, array in named.items()} for name, rows in numbers.items() if len(rows)}

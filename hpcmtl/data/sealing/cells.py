"""Columns of a table as numpy arrays, block by block: the common form of all that can be sealed."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from hpcmtl.data.sequences import Sequences

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from hpcmtl.arrays import Bools


@dataclass(frozen=True, kw_only=True)
class Cells:
    """Holds the cells of one column in some rows.

    Attributes:
        values: (rows, ...) numbers, truth values or dates; for text the position of each row's text in `words`.
        missing: (rows,) true where a cell is empty.
        words: the different texts of a column of text; None for other columns.
        sequences: the cells of a column of sequences, whose `values` are their lengths; None for other columns.
    """

    values: NDArray[Any]
    missing: Bools
    words: NDArray[Any] | None = None
    sequences: Sequences | None = None

    def rows(self, chosen: Any) -> Cells:
        """Returns the cells of some rows, chosen by a mask, numbers or a slice."""
        return Cells(values=self.values[chosen], missing=self.missing[chosen], words=self.words)


@dataclass(frozen=True, kw_only=True)
class TableBlock:
    """Holds some consecutive rows of a table.

    Attributes:
        start: number of the first row, counted from 0.
        rows: number of rows.
        columns: name -> cells.
        done: share of the table that has been read so far, 0 to 1.
    """

    start: int
    rows: int
    columns: Mapping[str, Cells]
    done: float


class TableSource(Protocol):
    """Reads a table block by block, as often as it is asked, in bounded memory.

    Attributes:
        where: name of the source, for messages.
        folder: folder to which paths in the table are relative.
    """

    where: str
    folder: Path

    def blocks(self, names: Collection[str] | None = None) -> Iterator[TableBlock]:
        """Yields the rows in order; with `names` only these columns need to be there."""


def cells_of(values: Any, missing: Any = None) -> Cells:
    """Returns the cells of an array or a list; None, NaN and NaT are missing.

    Args:
        values: (rows, ...) numbers, truth values, dates or text.
        missing: (rows,) true for further cells that are missing.

    Raises:
        ValueError: the values are of several types; the message is the rest of a sentence.
    """
    if isinstance(values, Sequences):
        return Cells(values=values.lengths, missing=np.zeros(len(values), np.bool_), sequences=values)
    array = values if isinstance(values, np.ndarray) else as_array(values)
    if array.ndim == 0:
        raise ValueError("is one value; the first axis counts rows, so give it as [value]")
    absent = np.zeros(len(array), np.bool_) if missing is None else np.array(missing, np.bool_)
    if isinstance(array, np.ma.MaskedArray):
        absent, array = absent | _mask_of(array), array.data
    if array.ndim == 1:
        absent = absent | _absent(array)
    if array.dtype.kind == "O" and array.ndim == 1:
        array = _without_objects(array, absent)
    if array.dtype.kind == "S":
        array = np.char.decode(array, "utf-8")
    if array.dtype.kind == "U" and array.ndim == 1:
        words, places = np.unique(array, return_inverse=True)
        return Cells(values=places, missing=absent, words=words)
    if array.dtype.kind not in "iufbMm":
        raise ValueError(f"has values of type {array.dtype}; give numbers, truth values, dates or text")
    return Cells(values=array, missing=absent)


def _absent(array: NDArray[Any]) -> Bools:
    """Returns the cells of an array that are NaN, NaT or None."""
    absent: Bools = np.zeros(len(array), np.bool_)
    if array.dtype.kind == "f":
        absent = np.isnan(array)
    elif array.dtype.kind in "Mm":
        absent = np.isnat(array)
    elif array.dtype.kind == "O":
        absent = np.fromiter(map(is_missing, array), np.bool_, len(array))
    return absent


def _mask_of(array: Any) -> Bools:
    """Returns the rows with a masked value."""
    mask = np.broadcast_to(np.asarray(array.mask, np.bool_), array.shape)
    rows: Bools = mask.reshape(len(array), -1).any(axis=1)
    return rows


def as_array(values: Any) -> NDArray[Any]:
    """Returns a list as an array; one of texts and None, or of numbers and None, as an array of objects."""
    kinds = {type(each) for each in values} if isinstance(values, list | tuple) else set()
    if type(None) in kinds or (str in kinds and len(kinds) > 1):
        array = np.empty(len(values), dtype=object)
        array[:] = values
        return array
    try:
        return np.asarray(values)
    except ValueError as error:
        raise ValueError(f"is no array: {error}") from error


def is_missing(value: Any) -> bool:
    """Returns true for None, NaN, NaT, and the missing value of pandas."""
    return (
        value is None
        or (isinstance(value, float) and math.isnan(value))
        or type(value).__name__ in {"NAType", "NaTType"}
    )


_TYPES: tuple[tuple[frozenset[str], Any, str], ...] = (
    (frozenset({"bool"}), False, "bool"),
    (frozenset({"bool", "int"}), 0, "int64"),
    (frozenset({"bool", "int", "float"}), 0.0, "float64"),
    (frozenset({"text"}), "", "str"),
    (frozenset({"date"}), np.datetime64("NaT"), "datetime64[us]"),
)
"""Kinds of objects that go together, the value of missing cells, and the type of their array."""


def _without_objects(array: NDArray[Any], absent: Bools) -> NDArray[Any]:
    """Returns objects of one type as an array of this type, with anything where cells are missing."""
    cells = array.tolist()
    kinds = {_kind(each) for each, lacks in zip(cells, absent, strict=True) if not lacks} or {"float"}
    for known, fill, dtype in _TYPES:
        if kinds <= known:
            filled = [fill if lacks else each for each, lacks in zip(cells, absent, strict=True)]
            try:
                return np.array(filled, dtype=dtype)
            except (OverflowError, ValueError, TypeError) as error:
                raise ValueError(f"cannot be taken as {dtype}: {error}") from error
    raise ValueError(f"has values of the types {', '.join(sorted(kinds))}; give one type, e.g. text alone")


def _kind(value: Any) -> str:
    if isinstance(value, bool | np.bool_):
        return "bool"
    if isinstance(value, int | np.integer):
        return "int"
    if isinstance(value, float | np.floating):
        return "float"
    if isinstance(value, str):
        return "text"
    if isinstance(value, dt.date | np.datetime64):
        return "date"
    return type(value).__name__


def words_of(cells: Cells) -> tuple[NDArray[Any], list[str]]:
    """Returns the position of each cell in a list of different texts, and the list; numbers become text.

    A whole number is written without a point, also one that is stored as a float; truth values are false and true.
    """
    if cells.words is not None:
        return cells.values, [str(word) for word in cells.words]
    values, places = np.unique(cells.values, return_inverse=True)
    if values.dtype.kind == "b":
        return places, [str(value).lower() for value in values]
    return places, [number_word(value) for value in values]


def number_word(value: Any) -> str:
    """Returns a number as the name of a class."""
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)

"""Moves named arrays between the ranks of a group as buffers, without pickling large data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from hpcmtl.communicators.outcome import on_root

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hpcmtl.arrays import Arrays
    from hpcmtl.communicators.base import Communicator

Attributes = TypeVar("Attributes")

_ROWS_TAG = 31


def share(
    group: Communicator, read: Callable[[], tuple[Arrays, Attributes]], root: int = 0
) -> tuple[Arrays, Attributes]:
    """Calls `read` on one rank and broadcasts its arrays and attributes (collective).

    Args:
        group: ranks that take part.
        read: function that returns the arrays by name, and small values that can be pickled.
        root: rank that calls it.

    Returns:
        The same arrays and attributes on every rank.

    Raises:
        Exception: the error of `read`, on every rank.
    """
    mine: Arrays = {}

    def manifest() -> tuple[list[tuple[str, tuple[int, ...], str]], Attributes]:
        arrays, facts = read()
        mine.update({name: np.asarray(array, order="C") for name, array in arrays.items()})
        return [(name, array.shape, array.dtype.str) for name, array in mine.items()], facts

    listed, facts = on_root(group, manifest, root)
    arrays = {
        name: mine[name] if group.rank == root else np.empty(shape, np.dtype(kind)) for name, shape, kind in listed
    }
    for array in arrays.values():
        if array.size:
            group.Bcast(_as_bytes(array), root)
    return arrays, facts


def _as_bytes(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Returns truth values as a view of bytes, which communicators carry, and other arrays as they are."""
    return array.view(np.uint8) if array.dtype == np.bool_ else array


def gather_rows(group: Communicator, rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any] | None:
    """Stacks the rows of all ranks in rank order on the first rank (collective).

    Args:
        group: ranks that take part.
        rows: (n, ...) rows of this rank. Shape and dtype of an array without rows are ignored.

    Returns:
        (sum of all n, ...) on the first rank, None on the others.
    """
    rows = np.ascontiguousarray(rows)
    described = group.gather((len(rows), rows.shape[1:], rows.dtype.str))
    if group.rank != 0:
        if rows.size:
            group.Send(_as_bytes(rows), 0, _ROWS_TAG)
        return None
    assert described is not None
    return _receive_rows(group, rows, described)


def _receive_rows(
    group: Communicator, rows: np.ndarray[Any, Any], described: Sequence[tuple[int, tuple[int, ...], str]]
) -> np.ndarray[Any, Any]:
    _, shape, kind = next((each for each in described if each[0]), described[0])
    whole = np.empty((sum(count for count, _, _ in described), *shape), np.dtype(kind))
    start = 0
    for source, (count, _, _) in enumerate(described):
        part = whole[start : start + count]
        if source == 0 and count:
            part[...] = rows
        elif part.size:
            group.Recv(_as_bytes(part), source, _ROWS_TAG)
        start += count
    return whole

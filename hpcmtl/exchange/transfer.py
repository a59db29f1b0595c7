"""Moves named arrays between the ranks of a group, by buffers: nothing large is pickled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from hpcmtl.communicators.outcome import on_root

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from hpcmtl.communicators.base import Communicator

Arrays = dict[str, np.ndarray[Any, Any]]
Facts = TypeVar("Facts")

# Name, dtype and shape of arrays that lie one after the other in one array of bytes.
Packed = tuple[tuple[str, str, tuple[int, ...]], ...]

_ROWS_TAG = 31
_ALIGNMENT = 64


def share(group: Communicator, read: Callable[[], tuple[Arrays, Facts]], root: int = 0) -> tuple[Arrays, Facts]:
    """Call `read` on one rank and give its arrays and facts to all (collective).

    Raises:
        Exception: what `read` raised, on every rank.
    """
    mine: Arrays = {}

    def manifest() -> tuple[list[tuple[str, tuple[int, ...], str]], Facts]:
        arrays, facts = read()
        mine.update({name: np.asarray(array, order="C") for name, array in arrays.items()})
        return [(name, array.shape, array.dtype.str) for name, array in mine.items()], facts

    listed, facts = on_root(group, manifest, root)
    arrays = {
        name: mine[name] if group.rank == root else np.empty(shape, np.dtype(kind)) for name, shape, kind in listed
    }
    for array in arrays.values():
        if array.size:
            group.Bcast(array, root)
    return arrays, facts


def gather_rows(group: Communicator, rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any] | None:
    """Stack the rows of all ranks, in rank order, on the first rank; None on the others (collective).

    A rank without rows need not know their shape and dtype.
    """
    rows = np.ascontiguousarray(rows)
    described = group.gather((len(rows), rows.shape[1:], rows.dtype.str))
    if group.rank != 0:
        if rows.size:
            group.Send(rows, 0, _ROWS_TAG)
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
            group.Recv(part, source, _ROWS_TAG)
        start += count
    return whole


def pack(arrays: Mapping[str, np.ndarray[Any, Any]]) -> tuple[np.ndarray[Any, Any], Packed]:
    """Copy arrays into one array of bytes, which travels in few messages, however many they are; see `unpack`."""
    packed = tuple((name, array.dtype.str, array.shape) for name, array in arrays.items())
    places = _places(packed)
    whole = np.zeros(places[-1].stop if places else 0, np.uint8)
    for place, array in zip(places, arrays.values(), strict=True):
        whole[place.start : place.start + array.nbytes] = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    return whole, packed


def unpack(whole: np.ndarray[Any, Any], packed: Packed) -> Arrays:
    """The arrays that `pack` packed; they share the memory of `whole`."""
    arrays = {}
    for place, (name, kind, shape) in zip(_places(packed), packed, strict=True):
        size = np.dtype(kind).itemsize * int(np.prod(shape, dtype=np.int64))
        arrays[name] = whole[place.start : place.start + size].view(kind).reshape(shape)
    return arrays


def _places(packed: Packed) -> list[range]:
    """Where each array lies, rounded up so that the next begins at a multiple of 64 bytes."""
    places, start = [], 0
    for _, kind, shape in packed:
        size = np.dtype(kind).itemsize * int(np.prod(shape, dtype=np.int64))
        stop = start + -(-size // _ALIGNMENT) * _ALIGNMENT
        places.append(range(start, stop))
        start = stop
    return places

"""Named arrays as one buffer and a list of what lies in it, which travel in few messages, however many they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hpcmtl.arrays import Arrays
    from hpcmtl.communicators.base import Communicator, SendHandle

# Name, shape and dtype of arrays that lie one after the other in one buffer.
PackedLayout = tuple[tuple[str, tuple[int, ...], str], ...]

HEADER, CONTENT = 1, 2  # tags
_ALIGNED = 64  # arrays begin at multiples of so many bytes, so that they can be used in place


@dataclass(frozen=True, eq=False)
class PackedArrays:
    """Named arrays, packed.

    Attributes:
        layout: the arrays, in the order in which they lie in the buffer.
        buffer: (bytes,) uint8.
    """

    layout: PackedLayout
    buffer: np.ndarray[Any, Any]

    def arrays(self) -> Arrays:
        """The arrays, as views of the buffer."""
        found, start = {}, 0
        for name, shape, kind in self.layout:
            dtype = np.dtype(kind)
            size = dtype.itemsize * int(np.prod(shape, dtype=np.int64))
            found[name] = self.buffer[start : start + size].view(dtype).reshape(shape)
            start += _padded(size)
        return found


def pack(arrays: Mapping[str, np.ndarray[Any, Any]]) -> PackedArrays:
    """Copy arrays into one buffer."""
    layout = tuple((name, array.shape, array.dtype.str) for name, array in arrays.items())
    packed = PackedArrays(layout, np.zeros(sum(_padded(array.nbytes) for array in arrays.values()), np.uint8))
    for name, array in packed.arrays().items():
        array[...] = arrays[name]
    return packed


def send(comm: Communicator, dest: int, header: Any, packed: PackedArrays | None = None) -> list[SendHandle]:
    """Start to send a small value, and a parcel with it; keep the handles until all tests are true."""
    told = (header, None) if packed is None else (header, (packed.layout, packed.buffer.nbytes))
    handles = [comm.isend(told, dest, HEADER)]
    if packed is not None and packed.buffer.nbytes:
        handles.append(comm.Isend(packed.buffer, dest, CONTENT))
    return handles


def opened(comm: Communicator, source: int, told: Any) -> tuple[Any, PackedArrays | None]:
    """What a header that has been received says, and the parcel that follows it."""
    header, described = told
    if described is None:
        return header, None
    layout, size = described
    buffer = np.empty(size, np.uint8)
    if size:
        comm.Recv(buffer, source, CONTENT)
    return header, PackedArrays(layout, buffer)


def _padded(size: int) -> int:
    return -(-size // _ALIGNED) * _ALIGNED

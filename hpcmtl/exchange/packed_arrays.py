"""Packs named arrays into one buffer with a layout, so that any number of arrays travels in two messages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hpcmtl.arrays import Arrays
    from hpcmtl.communicators.base import Communicator, SendHandle

PackedLayout = tuple[tuple[str, tuple[int, ...], str], ...]
"""Name, shape and dtype of consecutive arrays in one buffer."""

HEADER, CONTENT = 1, 2  # message tags
_ALIGNED = 64  # bytes; arrays begin at multiples of it, so that they can be used in place


@dataclass(frozen=True, eq=False)
class PackedArrays:
    """Named arrays in one buffer.

    Attributes:
        layout: layout of the buffer.
        buffer: (bytes,) uint8.
    """

    layout: PackedLayout
    buffer: np.ndarray[Any, Any]

    def arrays(self) -> Arrays:
        """Returns the arrays by name, as views of the buffer."""
        found, start = {}, 0
        for name, shape, kind in self.layout:
            dtype = np.dtype(kind)
            size = dtype.itemsize * int(np.prod(shape, dtype=np.int64))
            found[name] = self.buffer[start : start + size].view(dtype).reshape(shape)
            start += _padded(size)
        return found


def pack(arrays: Mapping[str, np.ndarray[Any, Any]]) -> PackedArrays:
    """Copies arrays into one buffer."""
    layout = tuple((name, array.shape, array.dtype.str) for name, array in arrays.items())
    packed = PackedArrays(layout, np.zeros(sum(_padded(array.nbytes) for array in arrays.values()), np.uint8))
    for name, array in packed.arrays().items():
        array[...] = arrays[name]
    return packed


def send(comm: Communicator, dest: int, header: Any, packed: PackedArrays | None = None) -> list[SendHandle]:
    """Starts to send a small value, and packed arrays with it.

    Returns:
        Handles that the caller must keep until all of them have completed.
    """
    message = (header, None) if packed is None else (header, (packed.layout, packed.buffer.nbytes))
    handles = [comm.isend(message, dest, HEADER)]
    if packed is not None and packed.buffer.nbytes:
        handles.append(comm.Isend(packed.buffer, dest, CONTENT))
    return handles


def receive_content(comm: Communicator, source: int, message: Any) -> tuple[Any, PackedArrays | None]:
    """Completes a message that `send` began.

    Args:
        comm: communicator of the message.
        source: rank that sent it.
        message: first part of the message, as it was received with the tag `HEADER`.

    Returns:
        The small value, and the packed arrays that were sent with it or None.
    """
    header, described = message
    if described is None:
        return header, None
    layout, size = described
    buffer = np.empty(size, np.uint8)
    if size:
        comm.Recv(buffer, source, CONTENT)
    return header, PackedArrays(layout, buffer)


def _padded(size: int) -> int:
    return -(-size // _ALIGNED) * _ALIGNED

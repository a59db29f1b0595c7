"""Memory that processes of a node share, without a name: the kernel frees it with the last process that uses it.

POSIX shared memory and windows of MPI have names in /dev/shm, which stay when the processes are killed.
"""

from __future__ import annotations

import mmap
import os
import resource
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ALIGNED = 64
"""Bytes: arrays begin at a line of the cache."""


@dataclass(frozen=True, slots=True)
class SegmentAddress:
    """Says where a process of the same node finds a segment: the open file of another process."""

    pid: int
    descriptor: int
    inode: int
    size: int


class SharedSegment:
    """A block of memory that other processes of the node can map; its first bytes are 0.

    Arrays keep the memory after `close`, which only ends its use by further processes.
    """

    def __init__(self, descriptor: int, size: int) -> None:
        """Maps an open file, which belongs to the segment from now on; use `create` or `attach`."""
        self._descriptor = descriptor
        self._size = size
        self._open = True
        self._map = mmap.mmap(descriptor, size)

    @classmethod
    def create(cls, size: int) -> SharedSegment:
        """Makes a segment of `size` bytes.

        Raises:
            OSError: the system refused, e.g. the address space of the process is limited.
        """
        descriptor = os.memfd_create("hpcmtl-samples", os.MFD_CLOEXEC)
        try:
            os.ftruncate(descriptor, max(size, 1))
        except BaseException:
            os.close(descriptor)
            raise
        return cls._owning(descriptor, max(size, 1))

    @classmethod
    def attach(cls, address: SegmentAddress) -> SharedSegment:
        """Maps the segment of another process, or of this one.

        Raises:
            OSError: the process has ended, or this one may not open its files.
        """
        descriptor = os.open(f"/proc/{address.pid}/fd/{address.descriptor}", os.O_RDWR | os.O_CLOEXEC)
        found = os.fstat(descriptor)
        if (found.st_ino, found.st_size) != (address.inode, address.size):
            os.close(descriptor)
            raise FileNotFoundError(f"file {address.descriptor} of process {address.pid} is another one by now")
        return cls._owning(descriptor, address.size)

    @classmethod
    def _owning(cls, descriptor: int, size: int) -> SharedSegment:
        """Maps an open file, or closes it."""
        try:
            return cls(descriptor, size)
        except BaseException:
            os.close(descriptor)
            raise

    @property
    def address(self) -> SegmentAddress:
        """The address by which other processes find the segment while this one has not closed it."""
        return SegmentAddress(os.getpid(), self._descriptor, os.fstat(self._descriptor).st_ino, self._size)

    def array(self, offset: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        """Returns an array over a part of the memory."""
        return np.ndarray(shape, dtype, self._map, offset)

    def close(self) -> None:
        """Closes the file; a second call does nothing."""
        if self._open:
            self._open = False
            os.close(self._descriptor)

    def __del__(self) -> None:
        if getattr(self, "_open", False):
            self.close()


def aligned(size: int) -> int:
    """Returns the next offset at which an array may begin."""
    return -(-size // _ALIGNED) * _ALIGNED


def address_space_left() -> int:
    """Returns the bytes that this process may still map, by its limit (`ulimit -v`)."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return 1 << 62
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    return max(limit - pages * mmap.PAGESIZE, 0)

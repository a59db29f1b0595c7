"""Collective over numpy views, by the group's own Allreduce: it needs no deep-learning framework."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hpcmtl.communicators.base import Communicator
    from hpcmtl.training.collectives.base import ArrayKind

    Array = np.ndarray[Any, Any]

BUCKET_BYTES = 16 << 20
"""Size in bytes up to which arrays are reduced by one Allreduce, in a buffer unless they lie side by side in memory."""


class MpiCollective:
    """Means and broadcasts by `Communicator.Allreduce` and `Communicator.Bcast`; see `Collective`."""

    name = "mpi"
    takes: ArrayKind = "views"

    def __init__(self, group: Communicator) -> None:
        self._group = group
        self.size = group.size

    def mean(self, arrays: Sequence[Array]) -> None:
        """See `Collective`; one Allreduce a bucket of arrays of one dtype."""
        for dtype in sorted({str(array.dtype) for array in arrays}):
            for bucket in _buckets([array for array in arrays if str(array.dtype) == dtype]):
                self._mean_of_bucket(bucket)

    def broadcast(self, arrays: Sequence[Array]) -> None:
        """See `Collective`."""
        for array in arrays:
            values = np.ascontiguousarray(array)
            self._group.Bcast(values)
            if values is not array:
                array[...] = values

    def close(self) -> None:
        """See `Collective`; the group belongs to the caller."""

    def _mean_of_bucket(self, bucket: Sequence[Array]) -> None:
        whole = _whole(bucket)
        fused = np.concatenate([array.ravel() for array in bucket]) if whole is None else whole
        fused /= self.size
        self._group.Allreduce(fused, "sum")
        if whole is not None:
            return
        start = 0
        for array in bucket:
            array[...] = fused[start : start + array.size].reshape(array.shape)
            start += array.size


def _buckets(arrays: Sequence[Array]) -> Iterator[list[Array]]:
    """Splits arrays, in order, into lists of at most `BUCKET_BYTES`; a larger array gets a list of its own."""
    bucket: list[Array] = []
    filled = 0
    for array in arrays:
        if bucket and filled + array.nbytes > BUCKET_BYTES:
            yield bucket
            bucket, filled = [], 0
        bucket.append(array)
        filled += array.nbytes
    if bucket:
        yield bucket


def _whole(bucket: Sequence[Array]) -> Array | None:
    """Returns one array over arrays of one dtype that lie side by side in memory; None if they do not."""
    first, end = bucket[0], bucket[0].ctypes.data
    for array in bucket:
        if not array.flags.c_contiguous or array.ctypes.data != end:
            return None
        end += array.nbytes
    return np.lib.stride_tricks.as_strided(first, (sum(array.size for array in bucket),), (first.itemsize,))

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
"""Size in bytes up to which arrays are copied into one buffer and reduced by one Allreduce."""


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
        fused = np.concatenate([array.ravel() for array in bucket])
        fused /= self.size
        self._group.Allreduce(fused, "sum")
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

"""Chunks of a dataset that HDF5 needs together."""

from __future__ import annotations

import math
from typing import Any


def chunks_beside(dataset: Any) -> int:
    """Returns the number of chunks that a sample lies in; 1 without chunks.

    Chunks that split samples, such as h5py's own choice, are needed together: all that have samples of a block.
    """
    if dataset.chunks is None:
        return 1
    return math.prod(-(-length // chunk) for length, chunk in zip(dataset.shape[1:], dataset.chunks[1:], strict=True))


def slab_bytes(dataset: Any) -> int:
    """Returns the size of all chunks that HDF5 needs at once for neighbouring samples; 0 without chunks."""
    if dataset.chunks is None:
        return 0
    return int(math.prod(dataset.chunks) * dataset.dtype.itemsize * chunks_beside(dataset))

"""Chunks of a dataset that HDF5 needs together, and what large ones cost."""

from __future__ import annotations

import math
from typing import Any

from hpcmtl.data.contract import CHUNK_BYTES, rows_per_chunk
from hpcmtl.data.open_file import CACHE_BYTES


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


def chunk_warning(dataset: Any) -> str:
    """Returns in words that HDF5 reads and unpacks chunks again and again; empty if they fit into its cache."""
    size = slab_bytes(dataset)
    if size <= CACHE_BYTES or dataset.chunks[0] <= rows_per_chunk(dataset.shape, dataset.dtype):
        return ""
    beside = chunks_beside(dataset)
    who = "each chunk has" if beside == 1 else f"the {beside} chunks of each sample have"
    what = f"{size / 2**20:.0f} MiB and must be read again for each block of samples"
    return f"{who} {what}, which is about {size / CHUNK_BYTES:.0f} times the work"

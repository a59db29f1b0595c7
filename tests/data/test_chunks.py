"""Chunks that HDF5 needs together are counted, and large ones are told."""

from __future__ import annotations

import h5py
import pytest

from hpcmtl.data.chunks import chunk_warning, chunks_beside, slab_bytes


@pytest.mark.parametrize(
    ("chunks", "beside", "mebibytes", "warned"),
    [
        (None, 1, 0, ""),
        ((64, 4096), 1, 1, ""),
        (
            (1024, 4096),
            1,
            16,
            "each chunk has 16 MiB and must be read again for each block of samples, which is about 16",
        ),
        ((1024, 1000), 5, 19.53125, "the 5 chunks of each sample have 20 MiB"),
    ],
)
def test_chunks_of_a_dataset(tmp_path, chunks, beside, mebibytes, warned):
    """Chunks that split samples count all that a sample lies in."""
    with h5py.File(tmp_path / "f.h5", "w") as file:
        dataset = file.create_dataset("x", (4096, 4096), "f4", chunks=chunks)
        assert (chunks_beside(dataset), slab_bytes(dataset)) == (beside, mebibytes * 2**20)
        assert chunk_warning(dataset).startswith(warned)
        assert bool(chunk_warning(dataset)) == bool(warned)

"""Lengths of the samples of ragged datasets, each read once."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from hpcmtl.data.hdf5 import file_version
from hpcmtl.data.open_file import open_sealed
from hpcmtl.data.ragged_dataset import RaggedDataset
from hpcmtl.data.stored_array import find_array

if TYPE_CHECKING:
    import os

    from hpcmtl.arrays import Ints


def read_lengths(path: str | os.PathLike[str], name: str) -> Ints | None:
    """Returns the lengths of the samples of a ragged dataset, read-only; None for a dataset of one length.

    Raises:
        InputError: the dataset cannot be read.
    """
    return _read_lengths(Path(path), name, file_version(Path(path)))


@lru_cache(maxsize=8)
def _read_lengths(path: Path, name: str, version: tuple[int, ...]) -> Ints | None:  # noqa: ARG001 - a part of the key
    with open_sealed(path) as file:
        found = find_array(file, path, name)
        lengths = found.lengths if isinstance(found, RaggedDataset) else None
    if lengths is not None:
        lengths.flags.writeable = False
    return lengths

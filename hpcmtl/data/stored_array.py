"""The arrays of a data file, be their values in the file itself or in files that it has adopted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import h5py
import numpy as np

from hpcmtl.data.adopted_array import AdoptedArray, adopted_array, adopted_names
from hpcmtl.data.contract import SPLIT, rows_per_chunk
from hpcmtl.data.open_file import ADOPTED_FORMAT, find_dataset
from hpcmtl.data.ragged_dataset import LengthsDataset, RaggedDataset, is_ragged, lengths_dataset, ragged_dataset
from hpcmtl.data.sequences import LENGTH
from hpcmtl.errors import InputError, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from hpcmtl.arrays import Ints


class StoredArray(Protocol):
    """Reads rows and attributes of an array: the part of `h5py.Dataset` that readers use."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(samples, ...)."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""

    @property
    def attrs(self) -> Mapping[str, Any]:
        """Attributes, such as ``scale``."""

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        """Returns consecutive rows."""


def is_adopted(file: h5py.File) -> bool:
    """Returns true for a file whose values lie in adopted files."""
    return bool(file.attrs["hpcmtl_format"] == ADOPTED_FORMAT)


def array_names(file: h5py.File) -> list[str]:
    """Returns the names of all arrays in a data file, ``split`` and the lengths of ragged datasets included."""
    if is_adopted(file):
        return [*adopted_names(file), SPLIT]
    names = list(file)
    return [*names, *(name + LENGTH for name in names if is_ragged(file.get(name)))]


Found: TypeAlias = h5py.Dataset | AdoptedArray | RaggedDataset | LengthsDataset
"""What `find_array` returns."""


def value_blocks(dataset: Found, first: int | None = None) -> Iterator[tuple[NDArray[Any], Ints]]:
    """Yields the values of an array in blocks (n, ...) of about 1 MiB, and the numbers (n,) of their samples.

    Samples of different lengths have no padding, and as many equal numbers as values.

    Args:
        dataset: the array.
        first: number of the first samples whose values are read; None for all samples.
    """
    rows, stop = rows_per_chunk(dataset.shape, dataset.dtype), len(dataset) if first is None else first
    for start in range(0, stop if dataset.size else 0, rows):
        samples = np.arange(start, min(start + rows, stop))
        if isinstance(dataset, RaggedDataset):
            block = dataset.stored(start, start + len(samples))
            samples = np.repeat(samples, dataset.lengths[samples])
        else:
            block = dataset[start : start + len(samples)]
        yield np.ascontiguousarray(block), samples


def find_array(file: h5py.File, path: Path, name: str) -> Found:
    """Returns an array of a data file.

    Raises:
        InputError: there is no array of that name, or its values are elsewhere; see `find_dataset`.
    """
    if is_adopted(file) and name != SPLIT:
        return adopted_array(file, path, name)
    if name not in file and is_ragged(file.get(name.removesuffix(LENGTH))):
        return lengths_dataset(file, path, name)
    found = find_dataset(file, path, name)
    if is_ragged(found):
        return ragged_dataset(file, path, name)
    if not isinstance(found, h5py.Dataset):
        raise InputError([Problem(f"{path}: {name}", "is not an array; the format allows nothing else")])
    return found

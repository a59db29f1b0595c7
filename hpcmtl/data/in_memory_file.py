"""A data file's content in memory: the same description and the same rows as if it were read from the file."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.data.hdf5 import DatasetDescription, FileDescription, delivered_dtype
from hpcmtl.data.reader import ArrayReader
from hpcmtl.data.split import SPLIT_CODES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class InMemoryFile:
    """What stands in for a data file that `write_dataset_file` wrote from the same arrays, without attributes.

    Attributes:
        path: the file, by which errors name it.
        arrays: name -> (samples, ...); of an array that is read in part, other rows may be anything.
        split: (samples,) 0 train, 1 val, 2 test.
    """

    path: Path
    arrays: Mapping[str, NDArray[Any]]
    split: NDArray[np.uint8]

    @property
    def bytes(self) -> int:
        """Memory that the arrays take."""
        return sum(array.nbytes for array in self.arrays.values())

    def description(self) -> FileDescription:
        """As `describe` gives it."""
        sizes = {name: int(np.count_nonzero(self.split == code)) for name, code in SPLIT_CODES.items()}
        described = {
            name: DatasetDescription(name, array.shape[1:], delivered_dtype(_Dataset(array)), None, array.nbytes)
            for name, array in self.arrays.items()
        }
        return FileDescription(self.path, len(self.split), described, sizes)

    def reader(self, name: str) -> ArrayReader:
        """As `open_array` gives it."""
        return ArrayReader(self.path, name, _Dataset(self.arrays[name]))


class _Dataset:
    """As much of an HDF5 dataset as readers ask for."""

    attrs: Mapping[str, Any] = MappingProxyType({})

    def __init__(self, array: NDArray[Any]) -> None:
        self._array = array
        self.shape, self.dtype = array.shape, array.dtype

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        return self._array[rows]

"""Content of a data file in memory, with the same description and rows as the file."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from hpcmtl.data.hdf5 import DatasetDescription, FileDescription, delivered_dtype
from hpcmtl.data.reader import ArrayReader
from hpcmtl.data.split import split_sizes

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class InMemoryFile:
    """Replaces a data file that `publish_arrays` wrote from the same arrays.

    Attributes:
        path: path of the file, used in errors.
        arrays: name -> (samples, ...); if only some rows of an array are read, the other rows are undefined.
        split: (samples,) 0 train, 1 val, 2 test.
    """

    path: Path
    arrays: Mapping[str, NDArray[Any]]
    split: NDArray[np.uint8]

    @property
    def bytes(self) -> int:
        """Memory of the arrays, in bytes."""
        return sum(array.nbytes for array in self.arrays.values())

    def description(self) -> FileDescription:
        """Returns what `describe` returns for the file."""
        sizes = split_sizes(self.split)
        described = {
            name: DatasetDescription(name, array.shape[1:], delivered_dtype(_Dataset(array)), None, array.nbytes)
            for name, array in self.arrays.items()
        }
        return FileDescription(self.path, len(self.split), described, sizes)

    def reader(self, name: str) -> ArrayReader:
        """Returns what `open_array` returns for the file."""
        return ArrayReader(self.path, name, _Dataset(self.arrays[name]))


class _Dataset:
    """Implements the part of an HDF5 dataset that readers use."""

    attrs: Mapping[str, Any] = MappingProxyType({})

    def __init__(self, array: NDArray[Any]) -> None:
        self._array = array
        self.shape, self.dtype = array.shape, array.dtype

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        return self._array[rows]

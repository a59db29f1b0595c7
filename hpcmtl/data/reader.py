"""Reading of rows: whole blocks from disk, then selection and conversion in NumPy."""

from __future__ import annotations

import math
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.data.adopted_array import AdoptedArray
from hpcmtl.data.contract import rows_per_chunk
from hpcmtl.data.hdf5 import delivered_dtype
from hpcmtl.data.open_file import naming_damage, open_sealed
from hpcmtl.data.stored_array import find_array
from hpcmtl.data.text import own_dtype, own_form

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from hpcmtl.arrays import Ints
    from hpcmtl.data.stored_array import StoredArray


class ArrayReader:
    """Reads rows of an open dataset.

    Values are delivered as stored, except float64 as float32, and with an attribute ``scale`` as float32 ``stored *
    scale``. Samples of different lengths are padded with 0 to the longest of all.

    Attributes:
        samples: length of the first axis.
        shape: shape of one sample.
        dtype: delivered dtype.
        sample_bytes: size of one delivered sample, in bytes.
        block: samples per chunk of the file, which are cheap to read at once.
    """

    def __init__(self, path: Path, name: str, dataset: StoredArray) -> None:
        self._path = path
        self._name = name
        self._dataset = dataset
        self._scale = dataset.attrs.get("scale")
        self.samples: int = dataset.shape[0]
        self.shape: tuple[int, ...] = tuple(dataset.shape[1:])
        self.dtype = delivered_dtype(dataset)
        self.sample_bytes: int = self.dtype.itemsize * math.prod(self.shape)
        self.block: int = rows_per_chunk(dataset.shape, dataset.dtype)

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Returns the rows start <= i < stop.

        Raises:
            InputError: the bytes are damaged; the message names file and dataset.
        """
        return self._deliver(self._stored(start, stop))

    def exact(self, start: int = 0, stop: int | None = None) -> NDArray[Any]:
        """Returns rows (all by default) in the type in which they were stored; those with a ``scale`` as `read` does.

        Raises:
            InputError: the bytes are damaged; the message names file and dataset.
        """
        stored = self._stored(start, self.samples if stop is None else stop)
        if self._scale is not None:
            return self._deliver(stored)
        return own_form(stored, own_dtype(self._dataset.dtype, self._dataset.attrs))

    def rows(self, numbers: Ints, between_blocks: Callable[[], None]) -> NDArray[Any]:
        """Returns rows in any order; each block with a requested row is read once.

        A list of rows given to HDF5 costs more than one read per row.

        Args:
            numbers: (n,) sample numbers.
            between_blocks: callback before each read; it may raise to end a long read.

        Returns:
            (n, ...) rows, in the order of `numbers`.
        """
        out = np.empty((len(numbers), *self.shape), dtype=self.dtype)
        ascending = np.argsort(numbers, kind="stable")
        cuts = np.flatnonzero(np.diff(numbers[ascending] // self.block)) + 1
        for places in np.split(ascending, cuts):
            between_blocks()
            wanted = numbers[places]
            if len(wanted):
                stored = self._stored(wanted[0], wanted[-1] + 1)
                whole = (np.diff(wanted) == 1).all()  # then a copy is spared
                out[places] = self._deliver(stored if whole else stored[wanted - wanted[0]])
        return out

    def _stored(self, start: int, stop: int) -> NDArray[Any]:
        with naming_damage(self._path, self._name, self._dataset):
            rows: NDArray[Any] = self._dataset[start:stop]
        return rows

    def _deliver(self, stored: NDArray[Any]) -> NDArray[Any]:
        if self._scale is None:
            return own_form(stored, self.dtype)
        return np.multiply(stored, self.dtype.type(self._scale), dtype=self.dtype, casting="same_kind")


@contextmanager
def open_array(path: str | os.PathLike[str], name: str) -> Iterator[ArrayReader]:
    """Opens one dataset of a sealed file, for this process alone.

    Raises:
        InputError: the file or the dataset is missing, truncated or unsealed.
    """
    path = Path(path)
    with open_sealed(path) as file:
        array = find_array(file, path, name)
        try:
            yield ArrayReader(path, name, array)
        finally:
            if isinstance(array, AdoptedArray):
                array.close()

"""Reading of rows: whole blocks from disk, then selection and conversion in NumPy."""

from __future__ import annotations

import math
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
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
        stored_dtype: dtype in the file.
        delivers_stored: whether rows are delivered as they are stored.
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
        self.dtype, self.stored_dtype = delivered_dtype(dataset), dataset.dtype
        self.delivers_stored = self._scale is None and self.dtype == self.stored_dtype
        self.sample_bytes: int = self.dtype.itemsize * math.prod(self.shape)
        self.block: int = rows_per_chunk(dataset.shape, dataset.dtype)

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Returns the rows start <= i < stop.

        Raises:
            InputError: the bytes are damaged; the message names file and dataset.
        """
        return self.delivered(self._stored(start, stop))

    def exact(self, start: int = 0, stop: int | None = None) -> NDArray[Any]:
        """Returns rows (all by default) in the type in which they were stored; those with a ``scale`` as `read` does.

        Raises:
            InputError: the bytes are damaged; the message names file and dataset.
        """
        stored = self._stored(start, self.samples if stop is None else stop)
        if self._scale is not None:
            return self.delivered(stored)
        return own_form(stored, own_dtype(self._dataset.dtype, self._dataset.attrs))

    def rows(self, numbers: Ints, between_blocks: Callable[[], None], out: NDArray[Any] | None = None) -> NDArray[Any]:
        """Returns rows in any order; each block with a requested row is read once.

        A list of rows given to HDF5 costs more than one read per row.

        Args:
            numbers: (n,) sample numbers.
            between_blocks: callback before each read; it may raise to end a long read.
            out: (n, ...) place of the rows; a new array by default.

        Returns:
            (n, ...) rows, in the order of `numbers`.
        """
        if out is None:
            out = np.empty((len(numbers), *self.shape), dtype=self.dtype)
        ascending = np.argsort(numbers, kind="stable")
        cuts = np.flatnonzero(np.diff(numbers[ascending] // self.block)) + 1
        for places in np.split(ascending, cuts):
            between_blocks()
            wanted = numbers[places]
            if not len(wanted):
                continue
            start, stop = int(wanted[0]), int(wanted[-1]) + 1
            whole = (np.diff(wanted) == 1).all()
            if whole and self.delivers_stored and (np.diff(places) == 1).all():  # then a copy is spared
                self.read_into(out[places[0] : places[-1] + 1], start)
            else:
                stored = self._stored(start, stop)
                out[places] = self.delivered(stored if whole else stored[wanted - start])
        return out

    def buffer(self, rows: int) -> NDArray[Any]:
        """Returns memory for a number of rows, or for all if they are fewer, as they are stored."""
        return np.empty((min(rows, self.samples), *self.shape), self.stored_dtype)

    def read_into(self, out: NDArray[Any], start: int) -> None:
        """Overwrites `out` with rows as they are stored, from `start` on.

        Memory that is used again costs no page faults. Numbers go by HDF5's own call, as the selections of h5py cost a
        quarter of the time for a block.

        Raises:
            InputError: the bytes are damaged; the message names file and dataset.
        """
        if not (isinstance(self._dataset, h5py.Dataset) and out.size and out.dtype.kind in "iuf"):
            out[...] = self._stored(start, start + len(out))
            return
        with naming_damage(self._path, self._name, self._dataset):
            rows = self._dataset.id.get_space()
            rows.select_hyperslab((start, *(0 for _ in self.shape)), out.shape)
            self._dataset.id.read(h5py.h5s.create_simple(out.shape), rows, out)

    def _stored(self, start: int, stop: int) -> NDArray[Any]:
        with naming_damage(self._path, self._name, self._dataset):
            rows: NDArray[Any] = self._dataset[start:stop]
        return rows

    def delivered(self, stored: NDArray[Any]) -> NDArray[Any]:
        """Returns rows as they are delivered, from rows as they are stored."""
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

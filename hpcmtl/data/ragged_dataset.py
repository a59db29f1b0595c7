"""Reading of a ragged dataset as if its samples were padded to one length, and of the lengths of its samples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from hpcmtl.data.contract import NUMBERS
from hpcmtl.data.open_file import find_dataset, naming_damage
from hpcmtl.data.sequences import LENGTH, offsets_problem, padded
from hpcmtl.errors import InputError, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from hpcmtl.arrays import Ints

VALUES, OFFSETS = "values", "offsets"
"""Datasets in the group of a ragged dataset."""


class RaggedDataset:
    """Reads samples of different lengths as `h5py.Dataset` reads those of one: padded with 0 to the longest of all.

    Attributes:
        shape: (samples, longest, ...).
        dtype: type of the values.
        ndim: number of axes of `shape`.
        size: number of stored values, without padding.
        chunks: None: samples do not begin at chunks.
        attrs: attributes as of a dataset of samples of one length.
        lengths: (samples,) number of values of each sample.
    """

    chunks = None

    def __init__(self, values: h5py.Dataset, offsets: Ints, attributes: Mapping[str, Any]) -> None:
        self._values, self._offsets, self.attrs = values, offsets, attributes
        self.lengths: Ints = np.diff(offsets)
        self.shape = (len(self.lengths), int(self.lengths.max(initial=0)), *values.shape[1:])
        self.dtype, self.ndim, self.size = values.dtype, len(self.shape), int(values.size)

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, rows: slice | tuple[()]) -> NDArray[Any]:
        """Returns consecutive samples with padding."""
        start, stop, _ = (slice(None) if isinstance(rows, tuple) else rows).indices(len(self))
        stop = max(start, stop)
        return padded(self.stored(start, stop), self.lengths[start:stop], self.shape[1])

    def stored(self, start: int, stop: int) -> NDArray[Any]:
        """Returns the values of consecutive samples, without padding."""
        values: NDArray[Any] = self._values[self._offsets[start] : self._offsets[stop]]
        return values


class LengthsDataset:
    """Reads the lengths of the samples of a ragged dataset, as a dataset of whole numbers.

    Attributes:
        shape: (samples,).
        dtype: int64.
        ndim: 1.
        size: number of samples.
        chunks: None.
        attrs: the checksum of the lengths.
    """

    chunks, dtype, ndim = None, np.dtype(np.int64), 1

    def __init__(self, lengths: Ints, attributes: Mapping[str, Any]) -> None:
        self._lengths, self.attrs = lengths, attributes
        self.shape, self.size = lengths.shape, len(lengths)

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, rows: slice | tuple[()]) -> NDArray[Any]:
        """Returns consecutive lengths."""
        return self._lengths[rows]


def is_ragged(item: object) -> bool:
    """Returns true for a group that holds a ragged dataset, as far as its names show."""
    return isinstance(item, h5py.Group) and {*item} == {VALUES, OFFSETS}


def ragged_dataset(file: h5py.File, path: Path, name: str) -> RaggedDataset:
    """Returns a ragged dataset of a data file, whose offsets have been checked.

    Raises:
        InputError: values or offsets are damaged, or do not belong together.
    """
    values, stored = (find_dataset(file, path, f"{name}/{each}") for each in (VALUES, OFFSETS))
    where = f"{path}: {name}"
    if not isinstance(values, h5py.Dataset) or values.ndim < 1 or values.dtype.kind not in NUMBERS:
        raise InputError([Problem(where, "has no values that are numbers; write the file by write_dataset_file")])
    with naming_damage(path, f"{name}/{OFFSETS}"):
        offsets = np.asarray(stored[()])
        attributes = file[name].attrs
    problem = offsets_problem(offsets, len(values))
    if problem is not None:
        raise InputError([Problem(where, f"{problem}: the file is damaged; make or copy it again")])
    return RaggedDataset(values, offsets.astype(np.int64), attributes)


def lengths_dataset(file: h5py.File, path: Path, name: str) -> LengthsDataset:
    """Returns the lengths of the samples of a ragged dataset, by its name with `LENGTH` at the end.

    Raises:
        InputError: see `ragged_dataset`.
    """
    ragged = name.removesuffix(LENGTH)
    lengths = ragged_dataset(file, path, ragged).lengths
    with naming_damage(path, f"{ragged}/{OFFSETS}"):
        return LengthsDataset(lengths, file[f"{ragged}/{OFFSETS}"].attrs)

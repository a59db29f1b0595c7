"""Tables of arrays: numpy files, plain HDF5 files, and arrays in memory."""

from __future__ import annotations

import math
import zipfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from hpcmtl.data.given_arrays import given_array
from hpcmtl.data.open_file import find_dataset, naming_damage
from hpcmtl.data.sealing.cells import Cells, TableBlock, as_array, cells_of
from hpcmtl.errors import InputError, Problem

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from numpy.typing import NDArray

_BLOCK_BYTES = 8 << 20
_FORMAT: Any = np.lib.format


def rows_in_block(arrays: Mapping[str, Any]) -> int:
    """Returns a number of rows whose arrays have about 8 MiB in all."""
    row: int = sum(math.prod(each.shape[1:]) * each.dtype.itemsize for each in arrays.values())
    return max(1, min(1 << 16, _BLOCK_BYTES // max(row, 1)))


class ArrayTable:
    """Arrays in memory, or opened in a file, by name; see `TableSource`."""

    def __init__(self, where: str, arrays: Mapping[str, Any], missing: Mapping[str, Any] | None = None) -> None:
        self.where = where
        self.folder = Path()
        self._arrays: dict[str, Any] = {}
        self._missing = missing or {}
        problems = []
        for name, value in arrays.items():
            try:
                self._arrays[name] = value if isinstance(value, np.ndarray) else _as_given(value)
            except ValueError as error:
                problems.append(Problem(f"{where}: column {name!r}", str(error)))
        lengths = {name: len(each) for name, each in self._arrays.items() if each.ndim}
        problems += [
            Problem(f"{where}: column {name!r}", "is one value; the first axis counts rows")
            for name, each in self._arrays.items()
            if not each.ndim
        ]
        if len(set(lengths.values())) > 1:
            found = ", ".join(f"{name} {length}" for name, length in lengths.items())
            problems.append(Problem(where, f"arrays of different lengths: {found}; the first axis counts rows"))
        if problems:
            raise InputError(problems)
        self.rows = next(iter(lengths.values()), 0)

    def blocks(self, names: Collection[str] | None = None) -> Iterator[TableBlock]:
        """See `TableSource`."""
        chosen = self._arrays if names is None else {name: self._arrays[name] for name in names}
        step = rows_in_block(chosen)
        for start in range(0, self.rows, step):
            columns = {name: self._cells(name, slice(start, start + step)) for name in chosen}
            rows = min(step, self.rows - start)
            yield TableBlock(start=start, rows=rows, columns=columns, done=(start + rows) / self.rows)

    def _cells(self, name: str, rows: slice) -> Cells:
        missing = self._missing.get(name)
        try:
            return cells_of(self._arrays[name][rows], None if missing is None else missing[rows])
        except (ValueError, UnicodeDecodeError) as error:
            raise InputError([Problem(f"{self.where}: column {name!r}", str(error))]) from error


def _as_given(value: Any) -> Any:
    """Returns an array, or what can be sliced like one."""
    return as_array(value) if isinstance(value, list | tuple) else given_array(value)


def _is_group(file: h5py.File, name: str) -> bool:
    """Returns whether a name is that of a group; a link to what is not there is none, and its reader names it."""
    return isinstance(file.get(name, getlink=True), h5py.HardLink) and not isinstance(file[name], h5py.Dataset)


class ArrayFile:
    """A file .npy, .npz or of plain HDF5, whose arrays are columns; see `TableSource`."""

    def __init__(self, path: Path) -> None:
        self.where = str(path)
        self.folder = path.parent
        self._path = path

    def blocks(self, names: Collection[str] | None = None) -> Iterator[TableBlock]:
        """See `TableSource`."""
        kind = self._path.suffix.lower()
        opened = {".npy": self._npy, ".npz": self._npz}.get(kind, self._hdf5)
        with opened() as arrays:
            missing = [name for name in names or () if name not in arrays]
            if missing:
                raise InputError([Problem(f"{self.where}: {name}", "is not there any more") for name in missing])
            yield from ArrayTable(self.where, arrays).blocks(names)

    @contextmanager
    def _npy(self) -> Iterator[dict[str, Any]]:
        with self._naming_damage():
            array = np.load(self._path, mmap_mode="r", allow_pickle=False)
        yield {self._path.stem: array} if array.dtype.names is None else {n: array[n] for n in array.dtype.names}

    @contextmanager
    def _npz(self) -> Iterator[dict[str, Any]]:
        with ExitStack() as stack:
            with self._naming_damage():
                archive = stack.enter_context(zipfile.ZipFile(self._path))
                arrays = {
                    name.removesuffix(".npy"): _Member(archive, name, self)
                    for name in archive.namelist()
                    if name.endswith(".npy")
                }
            yield arrays

    @contextmanager
    def _hdf5(self) -> Iterator[dict[str, Any]]:
        try:
            file = h5py.File(self._path, "r", locking=False)
        except OSError as error:
            raise self._refusal(error) from error
        with file, naming_damage(self._path, "its arrays"):
            found = ((name, find_dataset(file, self._path, name)) for name in file if not _is_group(file, name))
            arrays = {name: StoredColumn(self._path, name, dataset) for name, dataset in found}
            if not arrays:
                raise InputError([Problem(self.where, "has no dataset at its root; give one that has")])
            yield arrays

    @contextmanager
    def _naming_damage(self) -> Iterator[None]:
        try:
            yield
        except InputError:
            raise
        except Exception as error:
            raise self._refusal(error) from error

    def _refusal(self, error: Exception) -> InputError:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        return InputError([Problem(self.where, f"cannot be read ({reason}); write the file again")])


class StoredColumn:
    """A dataset of a plain HDF5 file, whose text of any length becomes text of numpy."""

    def __init__(self, path: Path, name: str, dataset: h5py.Dataset) -> None:
        self._path, self._name, self._dataset = path, name, dataset
        self._text = h5py.check_string_dtype(dataset.dtype) is not None
        self.shape: tuple[int, ...] = tuple(dataset.shape or ())
        self.ndim = len(self.shape)
        self.dtype = np.dtype("U16") if self._text else dataset.dtype  # of text only the kind counts
        if not self._text and dataset.dtype.kind not in "iufbS":
            raise InputError([Problem(f"{path}: {name}", f"values of type {dataset.dtype}; give numbers or text")])

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        with naming_damage(self._path, self._name, self._dataset):
            values: NDArray[Any] = self._dataset.asstr()[rows] if self._text else self._dataset[rows]
        return values.astype(str) if self._text else values


class _Member:
    """An array of an .npz file, read from its beginning row by row, so that it need not fit into memory."""

    def __init__(self, archive: zipfile.ZipFile, name: str, file: ArrayFile) -> None:
        self._archive, self._name, self._file = archive, name, file
        self._stream: Any = None
        self._next = 0
        with archive.open(name) as stream:
            self.shape, self._columns_first, self.dtype = _header(stream)
        self.ndim = len(self.shape)
        if self.dtype.hasobject:
            raise ValueError(f"{name} holds Python objects; give numbers or text")

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        start, stop, _ = rows.indices(self.shape[0])
        with self._file._naming_damage():  # noqa: SLF001 - the file and its members are one
            if self._columns_first:
                with self._archive.open(self._name) as stream:
                    whole: NDArray[Any] = _FORMAT.read_array(stream, allow_pickle=False)
                    return whole[rows]
            if self._stream is None or start != self._next:
                self._stream = self._archive.open(self._name)
                _header(self._stream)
                self._next = 0
            row = math.prod(self.shape[1:])
            self._skip((start - self._next) * row * self.dtype.itemsize)
            values = np.frombuffer(self._read((stop - start) * row * self.dtype.itemsize), self.dtype)
            self._next = stop
        return values.reshape(stop - start, *self.shape[1:])

    def _skip(self, size: int) -> None:
        while size:
            size -= len(self._read(min(size, _BLOCK_BYTES)))

    def _read(self, size: int) -> bytes:
        found = self._stream.read(size)
        if len(found) != size:
            raise ValueError(f"{self._name} is truncated")
        return bytes(found)


def _header(stream: Any) -> Any:
    """Returns shape, order and type of an array, and leaves the stream at its first value."""
    version = _FORMAT.read_magic(stream)
    read = _FORMAT.read_array_header_1_0 if version == (1, 0) else _FORMAT.read_array_header_2_0
    return read(stream)

"""Sealed HDF5 files: written atomically, described from metadata, checked value by value.

`hpcmtl.data.contract` implements the rules, docs/data_format.md documents them, `hpcmtl.data.reader` delivers rows.
"""

from __future__ import annotations

import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from hpcmtl.data.atomic_file import new_file
from hpcmtl.data.contract import (
    CHUNK_BYTES,
    SPLIT,
    array_problems,
    attribute_problems,
    rows_per_chunk,
    value_problem,
)
from hpcmtl.data.split import SPLIT_CODES
from hpcmtl.errors import InputError, Problem, nearest

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    from hpcmtl.arrays import Ints

FORMAT = 1
_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class DatasetDescription:
    """Describes one named dataset.

    Attributes:
        name: name in the file.
        shape: shape of one sample.
        dtype: delivered dtype: float32 for float64 and for data stored with a ``scale``, else as stored.
        classes: class names of an integer dataset, if given.
        bytes: stored size of all samples, which is read in one pass.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    classes: tuple[str, ...] | None
    bytes: int


@dataclass(frozen=True, slots=True)
class FileDescription:
    """Describes a sealed file; `split_sizes` has the numbers of samples in train, val and test."""

    path: Path
    samples: int
    datasets: dict[str, DatasetDescription]
    split_sizes: dict[str, int]


def write_dataset_file(
    path: str | os.PathLike[str],
    arrays: Mapping[str, NDArray[Any]],
    split: NDArray[Any],
    attributes: Mapping[str, Mapping[str, Any]] = _NOTHING,
    file_attributes: Mapping[str, Any] = _NOTHING,
) -> None:
    """Writes a sealed data file under a temporary name in the same directory, fsyncs it and renames it to `path`.

    Arrays are read block by block, so a `numpy.memmap` larger than memory is possible.

    Args:
        path: file to create or replace.
        arrays: name -> array (samples, ...) of integers or floats.
        split: (samples,) 0 train, 1 val, 2 test; see `split_by_hash`.
        attributes: name of an array -> its attributes. hpcmtl interprets ``classes`` (names of classes 0, 1, ...) and
            ``scale`` (factor of stored values when read); others are for people.
        file_attributes: attributes of the file, e.g. source and licence.

    Raises:
        InputError: the arrays or attributes break the contract; lists all problems, and no file is written.
        OSError: the file system refused, e.g. a full disk; no file is written.
    """
    path = Path(path)
    problems = array_problems(path, arrays, split) + attribute_problems(path, arrays, attributes)
    if problems:
        raise InputError(problems)
    with new_file(path) as file:
        for name, array in {**arrays, SPLIT: split.astype(np.uint8)}.items():
            problems += _write_array(file, path, name, array, attributes.get(name, _NOTHING))
        if problems:
            raise InputError(problems)
        file.attrs.update(file_attributes)
        file.attrs["hpcmtl_format"] = FORMAT
        file.flush()
        file.attrs["sealed"] = True


def _write_array(
    file: h5py.File, path: Path, name: str, array: NDArray[Any], attributes: Mapping[str, Any]
) -> list[Problem]:
    """Writes one dataset and its attributes, and returns the problems of its values."""
    rows = rows_per_chunk(array.shape, array.dtype)
    dtype = array.dtype.newbyteorder("=")
    # fletcher32: reading a chunk that was damaged later fails.
    dataset = file.create_dataset(name, array.shape, dtype, chunks=(rows, *array.shape[1:]), fletcher32=True)
    dataset.attrs.update({key: value for key, value in attributes.items() if key != "classes"})
    classes = [str(label).encode() for label in attributes.get("classes", ())]
    if classes:  # fixed length: libhdf5 2.0 can loop forever in a damaged heap of variable-length strings
        dataset.attrs["classes"] = np.array(classes, dtype=h5py.string_dtype(length=max(*map(len, classes), 1)))
    checksum = 0
    for start in range(0, len(array), rows):
        block = np.ascontiguousarray(array[start : start + rows], dtype=dtype)
        wrong = value_problem(block, start, len(classes))
        if wrong:
            return [Problem(f"{path}: {name}", wrong)]
        dataset[start : start + rows] = block
        checksum = zlib.crc32(block.data, checksum)
    dataset.attrs["checksum"] = np.uint32(checksum)
    return []


@contextmanager
def open_sealed(path: Path) -> Iterator[h5py.File]:
    """Opens a file for reading; refuses it unless it is sealed in a supported format.

    No lock: sealed files never change, and many ranks read them, some on mounts without locks.
    """
    if not path.is_file():
        raise InputError([Problem(str(path), "is not a file" if path.exists() else "does not exist")])
    try:
        # The cache holds several chunks, so that neighbouring reads of small arrays do not read a chunk twice. The
        # number of slots is a much larger prime, as HDF5 recommends.
        file = h5py.File(path, "r", locking=False, rdcc_nbytes=8 * CHUNK_BYTES, rdcc_nslots=521)
    except OSError as error:
        message = f"is truncated, unreadable or not an HDF5 file; make or copy it again ({error})"
        raise InputError([Problem(str(path), message)]) from error
    with file:
        with naming_damage(path, "its attributes"):
            sealed, number = file.attrs.get("sealed", False), file.attrs.get("hpcmtl_format")
        if not sealed:
            message = "is not sealed: its writer did not finish, or was not write_dataset_file; write it again"
            raise InputError([Problem(str(path), message)])
        if number != FORMAT:
            message = f"has format {number}; this hpcmtl reads format {FORMAT}"
            raise InputError([Problem(str(path), message)])
        yield file


@contextmanager
def naming_damage(path: Path, name: str) -> Iterator[None]:
    """Converts exceptions of HDF5 for damaged bytes to an error that names file and dataset."""
    try:
        yield
    except (OSError, RuntimeError, KeyError) as error:
        message = f"cannot be read, the file is damaged; make or copy it again ({error})"
        raise InputError([Problem(f"{path}: {name}", message)]) from error


def find_dataset(file: h5py.File, path: Path, name: str) -> h5py.Dataset:
    """Returns a dataset by name.

    Raises:
        InputError: there is no dataset of that name.
    """
    with naming_damage(path, name):
        if name in file:
            return file[name]
        known = [known for known in file if known != SPLIT]
    raise InputError([Problem(f"{path}: {name}", f"there is no such dataset{nearest(name, known)}")])


def describe(path: str | os.PathLike[str]) -> FileDescription:
    """Reads the metadata of a data file and checks it against the contract, without a pass over the data.

    Raises:
        InputError: missing, truncated, unsealed or empty file, datasets of different lengths, missing or wrong split;
            lists all problems, with file and dataset.
    """
    return _describe(Path(path), _version(Path(path)))


def _version(path: Path) -> tuple[int, ...]:
    """Returns a key that changes when another file takes the path; empty for a missing file."""
    try:
        state = path.stat()
    except OSError:  # opening the file reports the error
        return ()
    return state.st_ino, state.st_size, state.st_mtime_ns


# Cached: each task layer asks again, sealed files do not change, and opening a file takes some milliseconds.
@lru_cache(maxsize=256)
def _describe(path: Path, version: tuple[int, ...]) -> FileDescription:  # noqa: ARG001 - a part of the cache's key
    with open_sealed(path) as file, naming_damage(path, "its metadata"):
        items = {name: find_dataset(file, path, name) for name in file}
        others = [name for name, item in items.items() if not isinstance(item, h5py.Dataset)]
        problems = [Problem(f"{path}: {name}", "is not an array; the format allows nothing else") for name in others]
        if SPLIT not in items:
            problems.append(Problem(f"{path}: {SPLIT}", "is missing; write the file by write_dataset_file"))
        if problems:
            raise InputError(problems)
        stored = items.pop(SPLIT)
        with naming_damage(path, SPLIT):
            split = stored[()]
        problems = array_problems(path, items, split)
        if problems:
            raise InputError(problems)
        datasets = {name: _describe_dataset(name, item) for name, item in items.items()}
    sizes = {name: int(np.count_nonzero(split == code)) for name, code in SPLIT_CODES.items()}
    return FileDescription(path, len(split), datasets, sizes)


def _describe_dataset(name: str, dataset: h5py.Dataset) -> DatasetDescription:
    size = dataset.size * dataset.dtype.itemsize
    classes = class_names(dataset)
    return DatasetDescription(name, tuple(dataset.shape[1:]), delivered_dtype(dataset), classes, size)


def class_names(dataset: h5py.Dataset) -> tuple[str, ...] | None:
    """Returns the class names of a dataset, or None."""
    classes = dataset.attrs.get("classes", ())
    return tuple(label.decode() if isinstance(label, bytes) else str(label) for label in classes) or None


def delivered_dtype(dataset: h5py.Dataset) -> np.dtype[Any]:
    """Returns the dtype that readers deliver for a stored dataset."""
    to_float32 = "scale" in dataset.attrs or dataset.dtype == np.float64
    return np.dtype(np.float32) if to_float32 else np.dtype(dataset.dtype)


def check_finite(path: str | os.PathLike[str], names: Iterable[str]) -> None:
    """Reads every value of the named datasets once, block by block, and refuses data unfit for training.

    Raises:
        InputError: NaN, Inf, labels outside the named classes, values that do not match the stored checksum, unreadable
            chunks; one problem per dataset.
    """
    path = Path(path)
    with open_sealed(path) as file:
        problems = []
        for name in names:
            try:
                with naming_damage(path, name):
                    problems += _stored_value_problems(path, name, find_dataset(file, path, name))
            except InputError as error:  # every dataset reports its problems
                problems += error.problems
    if problems:
        raise InputError(problems)


def _stored_value_problems(path: Path, name: str, dataset: h5py.Dataset) -> list[Problem]:
    rows = rows_per_chunk(dataset.shape, dataset.dtype)
    classes = class_names(dataset) or ()
    checksum = 0
    for start in range(0, len(dataset), rows):
        block = dataset[start : start + rows]
        wrong = value_problem(block, start, len(classes))
        if wrong:
            return [Problem(f"{path}: {name}", wrong)]
        checksum = zlib.crc32(block.data, checksum)
    if checksum == dataset.attrs.get("checksum"):
        return []
    message = "values do not match their checksum: changed after the file was sealed; make or copy it again"
    return [Problem(f"{path}: {name}", message)]


def read_split(path: str | os.PathLike[str]) -> NDArray[np.uint8]:
    """Returns the split of each sample, read-only: 0 train, 1 val, 2 test."""
    return _read_split(Path(path), _version(Path(path)))


@lru_cache(maxsize=8)
def _read_split(path: Path, version: tuple[int, ...]) -> NDArray[np.uint8]:  # noqa: ARG001 - as above
    with open_sealed(path) as file, naming_damage(path, SPLIT):
        split = np.asarray(file[SPLIT][()])
    split.flags.writeable = False
    return split


def numbers_in(split: NDArray[np.uint8], splits: Iterable[str]) -> Ints:
    """Returns the ascending numbers of the samples in the named splits."""
    return np.flatnonzero(np.isin(split, [SPLIT_CODES[name] for name in splits]))

"""Sealed HDF5 files: written atomically, described from metadata.

`hpcmtl.data.contract` implements the rules, docs/data_format.md documents them, `hpcmtl.data.reader` delivers rows,
`hpcmtl.data.values` reads every value once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.data.array_writer import ArrayWriter, seal_file
from hpcmtl.data.atomic_file import new_file
from hpcmtl.data.contract import SPLIT, STORABLE, array_problems, attribute_problems, rows_per_chunk
from hpcmtl.data.given_arrays import given_array
from hpcmtl.data.open_file import naming_damage, open_sealed
from hpcmtl.data.ragged_dataset import RaggedDataset
from hpcmtl.data.ragged_writer import write_sequences
from hpcmtl.data.sequences import LENGTH, Sequences
from hpcmtl.data.split import SPLIT_CODES, split_sizes
from hpcmtl.data.stored_array import StoredArray, array_names, find_array
from hpcmtl.data.text import own_dtype, stored_form
from hpcmtl.errors import InputError, Problem

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping

    import h5py
    from numpy.typing import NDArray

    from hpcmtl.arrays import Ints
    from hpcmtl.data.stored_array import Found

_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class DatasetDescription:
    """Describes one named dataset.

    Attributes:
        name: name in the file.
        shape: shape of one sample.
        dtype: dtype that networks get: float32 for float64 and for data stored with a ``scale``, else as stored.
        classes: class names of an integer dataset, if given.
        bytes: stored size of all samples, which is read in one pass.
        ragged: whether samples have different lengths; the first number of `shape` is that of the longest.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    classes: tuple[str, ...] | None
    bytes: int
    ragged: bool = False

    @property
    def sample_bytes(self) -> int:
        """Bytes of one sample as networks get it."""
        return self.dtype.itemsize * math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class FileDescription:
    """Describes a sealed file; `split_sizes` has the numbers of samples in train, val and test."""

    path: Path
    samples: int
    datasets: dict[str, DatasetDescription]
    split_sizes: dict[str, int]


def write_dataset_file(
    path: str | os.PathLike[str],
    arrays: Mapping[str, Any],
    split: Any,
    attributes: Mapping[str, Mapping[str, Any]] = _NOTHING,
    file_attributes: Mapping[str, Any] = _NOTHING,
    *,
    overwrite: bool = False,
) -> None:
    """Writes a sealed data file under a temporary name in the same directory, fsyncs it and renames it to `path`.

    Arrays are read block by block, so a `numpy.memmap` larger than memory is possible.

    Args:
        path: file to create.
        arrays: name -> array (samples, ...) of integers or floats, a list of them, or `sequences_of` any lengths.
        split: (samples,) 0 train, 1 val, 2 test; see `split_by_hash`.
        attributes: name of an array -> its attributes. hpcmtl interprets ``classes`` (names of classes 0, 1, ...),
            ``scale`` (factor of stored values when read) and ``missing`` (the number, or NaN, that stands for a
            missing value); others are for people.
        file_attributes: attributes of the file, e.g. source and licence.
        overwrite: true to replace a file that exists.

    Raises:
        InputError: the file exists, its folder does not, or the arrays or attributes break the contract; lists all
            problems, and no file is written.
        OSError: the file system refused, e.g. a full disk; no file is written.
    """
    path = Path(path)
    given, codes, problems = _given(path, arrays, split)
    if path.exists() and not overwrite:
        problems.append(Problem(str(path), "exists already; give another name, or `overwrite=True` to replace it"))
    if not path.parent.is_dir():
        problems.append(Problem(str(path), f"there is no folder {path.parent}; create it first, or write elsewhere"))
    problems += array_problems(path, given, codes) + attribute_problems(path, given, attributes)
    if problems:
        raise InputError(problems)
    _write_file(path, given, codes, attributes, file_attributes)


def publish_arrays(
    path: str | os.PathLike[str],
    arrays: Mapping[str, Any],
    split: Any,
    file_attributes: Mapping[str, Any] = _NOTHING,
    made_by: str = "",
) -> None:
    """Writes arrays that a task publishes, as a sealed data file; an earlier file of the task is replaced.

    All numbers, truth values and text are stored exactly, NaN and arrays without a sample as well: tasks that train on
    them check what they need.

    Args:
        path: file to create or replace.
        arrays: name -> array (samples, ...).
        split: (samples,) 0 train, 1 val, 2 test.
        file_attributes: attributes of the file.
        made_by: who made the arrays, for messages; by default the file stands for it.

    Raises:
        InputError: the arrays do not belong together, or cannot be stored; lists all problems, and no file is written.
        OSError: the file system refused; no file is written.
    """
    path = Path(path)
    given, codes, problems = _given(made_by or path, arrays, split)
    problems += array_problems(made_by or path, given, codes, kinds=STORABLE)
    if problems:
        raise InputError(problems)
    _write_file(path, given, codes, None, file_attributes)


def _given(
    path: Path | str, arrays: Mapping[str, Any], split: Any
) -> tuple[dict[str, NDArray[Any]], NDArray[Any], list[Problem]]:
    """Returns the arrays and the split as arrays, and the problems of those that are none."""
    given: dict[str, NDArray[Any]] = {}
    problems = []
    for name, value in {SPLIT: split, **{name: value for name, value in arrays.items() if name != SPLIT}}.items():
        try:
            given[name] = given_array(value)
        except ValueError as error:
            problems.append(Problem(f"{path}: {name}", str(error)))
    if SPLIT in arrays:
        problems.append(Problem(f"{path}: {SPLIT!r}", "cannot name an array; it is the split of the samples"))
    problems += [
        Problem(f"{path}: {name}{LENGTH}", f"is the name of the lengths of {name}; rename the array")
        for name, array in given.items()
        if isinstance(array, Sequences) and name + LENGTH in given
    ]
    if problems:
        raise InputError(problems)
    codes = given.pop(SPLIT)
    return given, codes, problems


def _write_file(
    path: Path,
    arrays: Mapping[str, NDArray[Any]],
    split: NDArray[Any],
    attributes: Mapping[str, Mapping[str, Any]] | None,
    file_attributes: Mapping[str, Any],
) -> None:
    """Writes a file; without `attributes` any values are allowed."""
    problems: list[Problem] = []
    with new_file(path) as file:
        for name, array in {**arrays, SPLIT: split.astype(np.uint8)}.items():
            own = None if attributes is None else attributes.get(name, _NOTHING)
            problems += _write_array(file, path, name, array, own)
        if problems:
            raise InputError(problems)
        seal_file(file, file_attributes)


def _write_array(
    file: h5py.File, path: Path, name: str, array: NDArray[Any] | Sequences, attributes: Mapping[str, Any] | None
) -> list[Problem]:
    """Writes one dataset and its attributes, and returns the problems of its values."""
    if isinstance(array, Sequences):
        problem = write_sequences(file, name, array, attributes)
        return [Problem(f"{path}: {name}", problem)] if problem else []
    array, dtype, own_attributes = stored_form(array)
    writer = ArrayWriter(file, name, array.shape, dtype, attributes)
    file[name].attrs.update(own_attributes)
    rows = rows_per_chunk(array.shape, dtype)
    for start in range(0, len(array) if array.size else 0, rows):
        writer.add(np.asarray(array[start : start + rows]))
    writer.close()
    return [Problem(f"{path}: {name}", writer.problem)] if writer.problem else []


def describe(path: str | os.PathLike[str]) -> FileDescription:
    """Reads the metadata of a data file and checks it against the contract, without a pass over the data.

    Raises:
        InputError: missing, truncated, unsealed or empty file, datasets of different lengths, missing or wrong split;
            lists all problems, with file and dataset.
    """
    return _describe(Path(path), file_version(Path(path)))


def file_version(path: Path) -> tuple[int, ...]:
    """Returns a key that changes when another file takes the path; empty for a missing file."""
    try:
        state = path.stat()
    except OSError:  # opening the file reports the error
        return ()
    return state.st_ino, state.st_size, state.st_mtime_ns


_ATTRIBUTES = ("classes", "scale", "checksum")  # not `missing`, which older files have with texts for people
"""Attributes that hpcmtl interprets."""


# Cached: each task layer asks again, sealed files do not change, and opening a file takes some milliseconds.
@lru_cache(maxsize=256)
def _describe(path: Path, version: tuple[int, ...]) -> FileDescription:  # noqa: ARG001 - a part of the cache's key
    with open_sealed(path) as file, naming_damage(path, "its metadata"):
        names, problems = array_names(file), list[Problem]()
        items: dict[str, Any] = {}
        for name in names:
            try:
                items[name] = find_array(file, path, name)
            except InputError as error:  # every array reports its problems
                problems += error.problems
        if SPLIT not in names:
            problems.append(Problem(f"{path}: {SPLIT}", "is missing; write the file by write_dataset_file"))
        if problems:
            raise InputError(problems)
        stored = items.pop(SPLIT)
        with naming_damage(path, SPLIT):
            split = stored[()]
        # Not the others: those for people may be of any type, and damaged ones can keep libhdf5 busy for ever.
        attributes = {
            name: {key: item.attrs[key] for key in _ATTRIBUTES if key in item.attrs} for name, item in items.items()
        }
        problems = [
            *array_problems(path, items, split, kinds=STORABLE),
            *attribute_problems(path, items, attributes),
        ]
        if problems:
            raise InputError(problems)
        datasets = {name: _describe_dataset(name, item) for name, item in items.items()}
    sizes = split_sizes(split)
    return FileDescription(path, len(split), datasets, sizes)


def _describe_dataset(name: str, dataset: Found) -> DatasetDescription:
    size = dataset.size * dataset.dtype.itemsize
    classes = class_names(dataset)
    ragged = isinstance(dataset, RaggedDataset)
    return DatasetDescription(name, tuple(dataset.shape[1:]), delivered_dtype(dataset), classes, size, ragged)


def class_names(dataset: StoredArray) -> tuple[str, ...] | None:
    """Returns the class names of a dataset, or None."""
    classes = dataset.attrs.get("classes", ())
    return tuple(label.decode() if isinstance(label, bytes) else str(label) for label in classes) or None


def delivered_dtype(dataset: StoredArray) -> np.dtype[Any]:
    """Returns the dtype that readers deliver for a stored dataset."""
    to_float32 = "scale" in dataset.attrs or dataset.dtype == np.float64
    return np.dtype(np.float32) if to_float32 else own_dtype(dataset.dtype, dataset.attrs)


def read_split(path: str | os.PathLike[str]) -> NDArray[np.uint8]:
    """Returns the split of each sample, read-only: 0 train, 1 val, 2 test."""
    return _read_split(Path(path), file_version(Path(path)))


@lru_cache(maxsize=8)
def _read_split(path: Path, version: tuple[int, ...]) -> NDArray[np.uint8]:  # noqa: ARG001 - as above
    with open_sealed(path) as file, naming_damage(path, SPLIT):
        split = np.asarray(file[SPLIT][()])
    split.flags.writeable = False
    return split


def numbers_in(split: NDArray[np.uint8], splits: Iterable[str]) -> Ints:
    """Returns the ascending numbers of the samples in the named splits."""
    return np.flatnonzero(np.isin(split, [SPLIT_CODES[name] for name in splits]))

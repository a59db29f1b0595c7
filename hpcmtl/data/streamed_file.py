"""Sealed files written from blocks of rows, whose arrays need not exist as a whole."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from hpcmtl.data.array_writer import ArrayWriter, seal_file
from hpcmtl.data.atomic_file import new_file
from hpcmtl.data.contract import SPLIT, array_problems, attribute_problems
from hpcmtl.data.ragged_writer import RaggedWriter
from hpcmtl.errors import InputError, Problem

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping

    import h5py
    from numpy.typing import NDArray

    from hpcmtl.data.sequences import SampleRows


class PlannedArray(Protocol):
    """Describes a dataset before its values are known: shape of a sample, type and attributes."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""

    @property
    def attributes(self) -> Mapping[str, Any]:
        """Attributes of the dataset."""

    @property
    def ragged(self) -> bool:
        """Returns whether a sample is a sequence of any length of values of this shape; its rows are `Sequences`."""


class _Writer(Protocol):
    """Writes the rows of one dataset in their order.

    Attributes:
        problem: the first invalid value in words; None while all are valid.
    """

    problem: str | None

    def add(self, rows: Any) -> None:
        """Takes further rows; after a problem they are ignored."""

    def close(self) -> None:
        """Writes the rows that wait, and the checksum."""


class _Shaped:
    """The shape and type of an array without its values, for the checks of arrays."""

    def __init__(self, rows: int, planned: PlannedArray) -> None:
        self.shape = (rows, *planned.shape)
        self.dtype, self.ndim = planned.dtype, len(self.shape)
        self.size = int(np.prod(self.shape))

    def __len__(self) -> int:
        return self.shape[0]


def write_blocks(
    path: str | os.PathLike[str],
    planned: Mapping[str, PlannedArray],
    split: NDArray[np.uint8],
    blocks: Iterable[Mapping[str, SampleRows]],
    file_attributes: Mapping[str, Any],
    *,
    overwrite: bool = False,
) -> None:
    """Writes a sealed data file from blocks of rows, as `write_dataset_file` does from whole arrays.

    The memory that is needed depends on the size of a block, and not on that of the file.

    Args:
        path: file to create.
        planned: name -> shape of a sample, type and attributes.
        split: (samples,) 0 train, 1 val, 2 test.
        blocks: name -> rows, for all names; blocks may have any number of rows.
        file_attributes: attributes of the file.
        overwrite: true to replace a file that exists.

    Raises:
        InputError: the file exists, or values or attributes break the contract; no file is written.
        OSError: the file system refused; no file is written.
    """
    path = Path(path)
    shaped: Any = {name: _Shaped(len(split), each) for name, each in planned.items()}
    attributes = {name: each.attributes for name, each in planned.items()}
    problems = array_problems(path, shaped, split) + attribute_problems(path, shaped, attributes)
    problems += [already_there(path)] if path.exists() and not overwrite else []
    if problems:
        raise InputError(problems)
    with new_file(path) as file:
        writers: dict[str, _Writer] = {name: _writer(file, name, len(split), each) for name, each in planned.items()}
        writers[SPLIT] = ArrayWriter(file, SPLIT, split.shape, np.dtype(np.uint8), {})
        _write_rows(path, writers, blocks, split)
        seal_file(file, file_attributes)


def _writer(file: h5py.File, name: str, samples: int, planned: PlannedArray) -> _Writer:
    if planned.ragged:
        attributes = planned.attributes
        return RaggedWriter(file, name, samples, shape=planned.shape, dtype=planned.dtype, attributes=attributes)
    return ArrayWriter(file, name, (samples, *planned.shape), planned.dtype, planned.attributes)


def require_free(path: Path, *, overwrite: bool) -> None:
    """Refuses a file that exists, unless it shall be replaced, and one in a folder that does not exist.

    Raises:
        InputError: see above.
    """
    if path.exists() and not overwrite:
        raise InputError([already_there(path)])
    if not path.absolute().parent.is_dir():
        message = f"there is no folder {path.parent}; create it first, or write elsewhere"
        raise InputError([Problem(str(path), message)])


def already_there(path: Path) -> Problem:
    """Returns the problem of a file that would be replaced, and the remedies of the command and of Python."""
    return Problem(str(path), "exists already; give another name, or `--force` (`overwrite=True`) to replace it")


def _write_rows(
    path: Path,
    writers: Mapping[str, _Writer],
    blocks: Iterable[Mapping[str, SampleRows]],
    split: NDArray[np.uint8],
) -> None:
    writers[SPLIT].add(split)
    for block in blocks:
        for name, rows in block.items():
            writers[name].add(rows)
        _refuse(path, writers)
    for writer in writers.values():
        writer.close()
    _refuse(path, writers)


def _refuse(path: Path, writers: Mapping[str, _Writer]) -> None:
    problems = [Problem(f"{path}: {name}", writer.problem) for name, writer in writers.items() if writer.problem]
    if problems:
        raise InputError(problems)

"""Plain HDF5 files that were adopted: their identity, and rows over all of them, read where they lie."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from hpcmtl.data.chunks import slab_bytes
from hpcmtl.data.open_file import CACHE_BYTES, find_dataset, naming_damage, not_opened
from hpcmtl.errors import InputError, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

OPEN_AT_ONCE = 8
"""Originals that one array keeps open."""
MOST_CACHED = 32 * CACHE_BYTES
"""Chunks of one original that HDF5 keeps at most, if neighbouring samples need that many at once."""
REMEDY = "put the file back as it was, or adopt it again by `hpcmtl data adopt`"
"""What to do about an original that is not as it was."""


@dataclass(frozen=True, kw_only=True)
class Original:
    """Identifies a file whose rows were adopted.

    Attributes:
        path: the file.
        size: its size, in bytes.
        modified: time of its last change, in nanoseconds since 1970.
        rows: number of its samples.
    """

    path: Path
    size: int
    modified: int
    rows: int

    @property
    def where(self) -> str:
        """Name of the file in messages."""
        return f"{self.path} (adopted)"

    def problem(self) -> Problem | None:
        """Returns why the file cannot be the one that was adopted; None if it can."""
        try:
            state = self.path.stat()
        except OSError as error:
            reason = "is not there" if isinstance(error, FileNotFoundError) else f"cannot be read ({error.strerror})"
            return Problem(self.where, f"{reason}; {REMEDY}")
        if state.st_size != self.size:
            return Problem(self.where, f"has {state.st_size} bytes, and had {self.size} when adopted; {REMEDY}")
        return None

    @property
    def is_untouched(self) -> bool:
        """True if size and time of the last change are those of the adoption."""
        try:
            state = self.path.stat()
        except OSError:  # `problem` says why
            return False
        return (state.st_size, state.st_mtime_ns) == (self.size, self.modified)


def open_plain(path: Path, cache: int = CACHE_BYTES, *, locking: bool | str = False) -> h5py.File:
    """Opens a plain HDF5 file for reading.

    Args:
        path: the file.
        cache: bytes of chunks that HDF5 keeps for each dataset.
        locking: ``best-effort`` to notice a program that writes to the file, where the file system has locks.

    Raises:
        InputError: the file is missing, open for writing elsewhere, or cannot be read.
    """
    if not path.is_file():
        raise InputError([Problem(str(path), "is not a file" if path.exists() else "does not exist")])
    try:
        return h5py.File(path, "r", locking=locking, rdcc_nbytes=cache, rdcc_nslots=521)
    except OSError as error:
        raise InputError([Problem(str(path), not_opened(error))]) from error


class OriginalRows:
    """Reads rows of one array that lies in a dataset of several files, one after the other.

    At most `OPEN_AT_ONCE` files are open, until `close`.

    Attributes:
        shape: (samples, ...) of the whole array.
        dtype: type in which rows are delivered, in the byte order of this machine.
    """

    def __init__(
        self, originals: Sequence[Original], dataset: str, shape: tuple[int, ...], dtype: np.dtype[Any]
    ) -> None:
        self.shape, self.dtype = shape, dtype
        self._originals, self._name = originals, dataset
        self._ends = np.cumsum([each.rows for each in originals])
        self._opened: OrderedDict[int, tuple[h5py.File, h5py.Dataset]] = OrderedDict()

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Returns the rows start <= i < stop, contiguous; the array is the caller's.

        Raises:
            InputError: an original is missing, has another size, or cannot be read; the message names it.
        """
        rows = np.empty((stop - start, *self.shape[1:]), self.dtype)
        for number, first, part in self._parts(start, stop):
            dataset = self._dataset(number)
            with naming_damage(self._originals[number].path, self._name, dataset):
                rows[part] = dataset[first : first + part.stop - part.start]
        return rows

    def parts(self, start: int, stop: int) -> Iterator[tuple[Path, int, slice]]:
        """Yields the files that have some rows: path, number of the first row in the file, and place of its rows."""
        return ((self._originals[number].path, first, part) for number, first, part in self._parts(start, stop))

    def _parts(self, start: int, stop: int) -> Iterator[tuple[int, int, slice]]:
        """Yields the same with the numbers of the files."""
        first, last = np.searchsorted(self._ends, [start, stop - 1], side="right")
        for number in range(int(first), int(last) + 1):
            begins = int(self._ends[number]) - self._originals[number].rows
            at, until = max(start, begins), min(stop, int(self._ends[number]))
            if until > at:
                yield number, at - begins, slice(at - start, until - start)

    def _dataset(self, number: int) -> h5py.Dataset:
        if number in self._opened:
            self._opened.move_to_end(number)
            return self._opened[number][1]
        original = self._originals[number]
        problem = original.problem()
        if problem is not None:
            raise InputError([problem])
        file = open_plain(original.path)
        dataset = original_dataset(file, original.path, self._name)
        slab = slab_bytes(dataset)
        if CACHE_BYTES < slab <= MOST_CACHED:  # else HDF5 reads and unpacks these chunks for each block
            file.close()
            file = open_plain(original.path, slab)
            dataset = original_dataset(file, original.path, self._name)
        if dataset.shape != (original.rows, *self.shape[1:]):
            text = f"has the shape {dataset.shape}, and had {(original.rows, *self.shape[1:])} when adopted"
            raise InputError([Problem(f"{original.path}: {self._name}", f"{text}; {REMEDY}")])
        self._opened[number] = file, dataset
        if len(self._opened) > OPEN_AT_ONCE:
            self._opened.popitem(last=False)[1][0].close()
        return dataset

    def close(self) -> None:
        """Closes the files; a later read opens them again."""
        while self._opened:
            self._opened.popitem()[1][0].close()


def original_dataset(file: h5py.File, path: Path, name: str) -> h5py.Dataset:
    """Returns a dataset of a plain file.

    Raises:
        InputError: there is no such dataset, or its values are not all there; see `find_dataset`.
    """
    found = find_dataset(file, path, name)
    if not isinstance(found, h5py.Dataset):
        inside = ", ".join(sorted(found)) if isinstance(found, h5py.Group) else ""
        remedy = f"; name one of its members: {inside}" if inside else ""
        raise InputError([Problem(f"{path}: {name}", f"is no dataset{remedy}")])
    return found

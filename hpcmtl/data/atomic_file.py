"""Atomic creation of HDF5 files: a file appears under its name complete or not at all, after any failure."""

from __future__ import annotations

import io
import os
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import h5py

from hpcmtl import faults
from hpcmtl.errors import naming_no_space

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Disk(io.FileIO):
    """Stores its first error for the caller and reports later writes as successful.

    HDF5 cannot close a file after a failed write: the process then dies of SIGSEGV when it ends (seen with h5py 3.16,
    HDF5 2.0, file system full).
    """

    error: OSError | None = None
    path = Path()  # final path of the file

    def write(self, data: bytes | memoryview) -> int:  # type: ignore[override]  # HDF5 passes memoryviews
        """Writes all of `data`; a raw file may write only a part and return its length."""
        left = memoryview(data)
        try:
            while left and self.error is None:
                left = left[super().write(faults.partial_write(self.path, left)) :]
                faults.file_point(self.path, "half")
        except OSError as error:
            self.error = error
        return len(data)

    def truncate(self, size: int | None = None) -> int:
        """Sets the size of the file."""
        try:
            return super().truncate(size)
        except OSError as error:
            self.error = self.error or error
            return size or 0

    def check(self) -> None:
        """Raises the stored error."""
        if self.error is not None:
            raise self.error


@contextmanager
def new_file(path: str | os.PathLike[str]) -> Iterator[h5py.File]:
    """Opens a new HDF5 file for writing; it gets its name when the ``with`` block ends without an error.

    The file is written under a hidden name in the same directory, fsynced and renamed to `path`. If the block or the
    disk fails, nothing is left. A killed process leaves ``.<name>.<random>.partial``, which may be deleted.

    Raises:
        OSError: the file system refused, e.g. a full disk; at the latest when the block ends.
    """
    path = Path(path)
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")
    try:
        with naming_no_space(path), _Disk(partial, "x+") as disk:
            disk.path = path
            faults.file_point(path, "begun")
            # No lock: the name is unknown to other processes, and some parallel file systems have no locks. v110: its
            # object headers have checksums. Without them, damaged headers made libhdf5 2.0 die of SIGSEGV.
            with h5py.File(disk, "w", libver=("v110", "v110")) as file:
                yield file
            disk.check()
            faults.file_point(path, "closed")
            os.fsync(disk.fileno())
        faults.file_point(path, "before-rename")
        partial.replace(path)
        faults.file_point(path, "after-rename")
        _sync_directory(path.parent)
        faults.file_point(path, "done")
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def _sync_directory(path: Path) -> None:
    """Flushes the entries of a directory to disk, including a rename in it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""New HDF5 files appear under their name complete or not at all, whatever happens while they are written."""

from __future__ import annotations

import io
import os
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import h5py

from hpcmtl import faults

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Disc(io.FileIO):
    """A file that keeps its first error for the caller and takes further writes for done.

    HDF5 cannot close a file that it failed to write to: the process then dies of SIGSEGV when it ends
    (seen with h5py 3.16, HDF5 2.0, file system full).
    """

    error: OSError | None = None
    path = Path()  # that the file will have

    def write(self, data: bytes | memoryview) -> int:  # type: ignore[override]  # HDF5 hands out memoryviews
        """Write all of `data`; a raw file alone may write a part and say so."""
        left = memoryview(data)
        try:
            while left and self.error is None:
                left = left[super().write(faults.partial_write(self.path, left)) :]
                faults.file_point(self.path, "half")
        except OSError as error:
            self.error = error
        return len(data)

    def truncate(self, size: int | None = None) -> int:
        """Set the size of the file."""
        try:
            return super().truncate(size)
        except OSError as error:
            self.error = self.error or error
            return size or 0

    def check(self) -> None:
        """Raise the error that was kept."""
        if self.error is not None:
            raise self.error


@contextmanager
def new_file(path: str | os.PathLike[str]) -> Iterator[h5py.File]:
    """Open a new HDF5 file for writing; it takes its name when the ``with`` block ends well.

    Written under a hidden name in the same directory, fsynced, then renamed over `path`. If the block or the
    disc fails nothing is left; a killed process leaves ``.<name>.<random>.partial``, which may be deleted.

    Raises:
        OSError: the file system refused, e.g. a full disc; at the latest when the block ends.
    """
    path = Path(path)
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")
    try:
        with _Disc(partial, "x+") as disc:
            disc.path = path
            faults.file_point(path, "begun")
            # No lock is taken: nobody else knows the name, and some parallel file systems have none.
            # v110: what describes an array has checksums there. Damage to it made libhdf5 2.0 die of SIGSEGV else.
            with h5py.File(disc, "w", libver=("v110", "v110")) as file:
                yield file
            disc.check()
            faults.file_point(path, "closed")
            os.fsync(disc.fileno())
        faults.file_point(path, "before-rename")
        partial.replace(path)
        faults.file_point(path, "after-rename")
        _sync_directory(path.parent)
        faults.file_point(path, "done")
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def _sync_directory(path: Path) -> None:
    """Force the entries of a directory, and so a rename in it, to the disc."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""Copies of data files on the disk of a node, made once for all ranks there while these read the originals."""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import threading
import time
import zlib
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from hpcmtl.data.hdf5 import file_version
from hpcmtl.data.open_file import open_sealed
from hpcmtl.data.other_files import other_files
from hpcmtl.data.staged_originals import copy_originals, lead_to, originals_to_copy, require_untouched
from hpcmtl.data.stored_array import array_names, is_adopted
from hpcmtl.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from types import TracebackType

    from typing_extensions import Self

PREFIX = "hpcmtl.data."
_PIECE = 4 << 20
_SPARE = 64 << 20
"""Bytes that stay free beside a copy."""
_SECONDS_BETWEEN_TRIES, _SECONDS_TO_END = 0.5, 10.0
_log = logging.getLogger(__name__)


class _StoppedError(Exception):
    """Ends a copy when the ranks need it no more."""


class NodeCopies:
    """Copies data files to a folder of the node; a context manager, entered by each rank.

    One rank copies; if it dies, another one goes on. The last rank that leaves removes the folder, and each that enters
    removes those whose ranks were all killed. Adopted files are copied with their originals. Other files that have
    values elsewhere are left where they lie.
    """

    def __init__(self, files: Collection[Path], parent: Path, name: str) -> None:
        """Takes the originals and the place of the copies; `name` is the same for all ranks of a run, and its alone."""
        self._files = [Path(path) for path in files]
        self._folder = parent / f"{PREFIX}{name}"
        self._users: int | None = None
        self._stop = threading.Event()
        # Daemon: a file system that does not answer must not keep the process alive.
        self._thread = threading.Thread(target=self._copy_files, name="staging", daemon=True)

    def nearest(self, path: Path) -> Path:
        """Returns the copy of a file, once it is complete and verified and while its original is unchanged."""
        if self._users is None or path not in self._files:
            return path
        copy = self._copy_of(path)
        return copy if copy.exists() else path

    def __enter__(self) -> Self:
        try:
            _remove_abandoned(self._folder)
            self._users = _joined(self._folder)
        except OSError as error:
            _log.warning("data files are read where they lie: %s cannot be made on this node: %s", self._folder, error)
        else:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._users is None:
            return
        self._stop.set()
        self._thread.join(_SECONDS_TO_END)
        users, self._users = self._users, None
        if _locked(users, fcntl.LOCK_EX):
            shutil.rmtree(self._folder, ignore_errors=True)
        os.close(users)

    def _copy_of(self, path: Path) -> Path:
        version = zlib.crc32(repr((str(path), file_version(path))).encode())
        return self._folder / f"{version:08x}-{path.name}"

    def _copy_files(self) -> None:
        descriptor = os.open(self._folder / "copying", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            while not _locked(descriptor, fcntl.LOCK_EX):  # another rank copies
                if self._stop.wait(_SECONDS_BETWEEN_TRIES):
                    return
            for path in self._files:
                self._copy_file(path)
        except _StoppedError:
            pass  # the ranks have ended
        finally:
            os.close(descriptor)

    def _copy_file(self, path: Path) -> None:
        copy, started = self._copy_of(path), time.monotonic()
        if copy.exists():  # by a rank that was lost
            return
        part = copy.with_suffix(".part")
        try:
            if has_other_files(path):
                _log.info("%s is read where it lies: its values are in other files", path)
                return
            size = self._write(path, part) / 2**20
            part.rename(copy)
        except (OSError, InputError) as error:
            shutil.rmtree(_beside(part), ignore_errors=True)
            _log.warning("%s is read where it lies, no copy can be made on this node: %s", path, error)
        else:
            seconds = time.monotonic() - started
            _log.info("%s is copied to %s: %.0f MiB in %.1f s", path, copy, size, seconds)
        finally:
            part.unlink(missing_ok=True)

    def _write(self, path: Path, part: Path) -> int:
        """Writes the copy of a file, and those of its originals if it is an adopted one; returns their bytes."""
        version, originals = file_version(path), originals_to_copy(path)
        size = path.stat().st_size + sum(each.size for each in originals)
        free = shutil.disk_usage(self._folder).free
        if free < size + _SPARE:
            raise OSError(f"{self._folder} has {free >> 20} MiB of room for {size >> 20} MiB")
        self._copy(path, part)
        if originals:
            lead_to(part, _beside(part), copy_originals(originals, _beside(part), self._copy))
            require_untouched(originals)
        if file_version(path) != version:
            raise OSError("the file changed while it was copied")
        return size

    def _copy(self, path: Path, copy: Path) -> None:
        copy_verified(path, copy, self._check_running)

    def _check_running(self) -> None:
        if self._stop.is_set():
            raise _StoppedError


def copy_verified(path: Path, copy: Path, check_running: Callable[[], None] = lambda: None) -> None:
    """Copies a file, and compares the checksum of what the disk then returns.

    Raises:
        OSError: the file system refused, or the disk returned something else.
    """
    checksum = 0
    with path.open("rb") as source, copy.open("wb") as target:
        while piece := source.read(_PIECE):
            check_running()
            checksum = zlib.crc32(piece, checksum)
            target.write(piece)
        target.flush()
        os.fsync(target.fileno())
        # Else the comparison would be with memory, and not with the disk.
        os.posix_fadvise(target.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    found = 0
    with copy.open("rb") as written:
        while piece := written.read(_PIECE):
            check_running()
            found = zlib.crc32(piece, found)
    if found != checksum:
        raise OSError(f"{copy} does not have the checksum of the file: is the disk damaged?")


def has_other_files(path: Path) -> bool:
    """Returns whether values of a data file lie in other files by means of HDF5; adopted files have none of these."""
    with open_sealed(path) as file:
        return not is_adopted(file) and any(other_files(file, file[name]) for name in array_names(file))


def _beside(part: Path) -> Path:
    """Returns the folder of the copies of the originals of an adopted file."""
    return part.with_suffix(".originals")


def _joined(folder: Path) -> int:
    """Makes the folder of a run, or enters it; returns a descriptor with a lock that says that this rank uses it."""
    while True:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        if found.st_uid != os.getuid() or not folder.is_dir() or folder.is_symlink():
            raise PermissionError(f"{folder} is not a folder of this user")
        with suppress(FileNotFoundError):  # the last rank of another attempt removes the folder at this moment
            users = os.open(folder / "users", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(users, fcntl.LOCK_SH)
            if _is_still(folder / "users", users):
                return users
            os.close(users)


def _is_still(path: Path, descriptor: int) -> bool:
    """Returns whether a path leads to an open file, and not to none or to another one."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _remove_abandoned(folder: Path) -> None:
    """Removes the folders of runs whose ranks on this node were all killed."""
    for other in folder.parent.glob(f"{PREFIX}*"):
        if other == folder:
            continue
        # Ranks that begin at the same time remove the same folders; a file of such a name is not ours.
        with suppress(FileNotFoundError, NotADirectoryError):
            if other.lstat().st_uid == os.getuid():
                with _open(other / "users") as users:
                    if _locked(users, fcntl.LOCK_EX):
                        shutil.rmtree(other, ignore_errors=True)


@contextmanager
def _open(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _locked(descriptor: int, how: int) -> bool:
    """Takes a lock if no other process has one against it; returns whether it did."""
    with suppress(BlockingIOError):
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
        return True
    return False

"""Writes and reads sealed HDF5 files of named arrays, the format of checkpoints and of parameters artifacts.

A file is written under a hidden name, flushed to disk and renamed, so that a reader sees a complete file or none. That
HDF5 can open a file is no proof: after a kill -9 it opens files whose unwritten rows read as zeros, and it does not
notice damage to the metadata of an array. A manifest therefore records the facts, and dtype, shape and checksum of
every array. The manifest has a checksum of its own.
"""

from __future__ import annotations

import errno
import json
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from hpcmtl.data.atomic_file import new_file
from hpcmtl.errors import DirectoryGoneError, EnvironmentUnfitError, HpcmtlError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from hpcmtl.arrays import Arrays


FORMAT = 3
_NOT_OF_THE_FILE = frozenset(
    {errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE, errno.ETIMEDOUT}
)

PARAMETERS = "parameters/"
"""Prefix of the names of a network's parameters, in checkpoints and in artifacts."""


class DamagedFileError(HpcmtlError):
    """Reports a sealed file that is missing, truncated or changed; the message names the file and the damage."""


class DamagedArtifactError(HpcmtlError):
    """Reports an artifact that cannot be read; its task can make it again.

    Attributes:
        producer: name of the task that published the artifact.
    """

    def __init__(self, message: str, producer: str) -> None:
        super().__init__(message, producer)  # both, so that it can travel by pickle
        self.producer = producer

    def __str__(self) -> str:
        return str(self.args[0])


@contextmanager
def artifact_of(producer: str, path: Path) -> Iterator[Path]:
    """Turns any error of the block, which reads `path`, into a `DamagedArtifactError` of the producer."""
    try:
        yield path
    except Exception as error:  # h5py raises errors of any class for damaged bytes
        raise DamagedArtifactError(f"the artifact of task {producer}, {path}, is damaged: {error}", producer) from error


def seal(path: Path, arrays: Mapping[str, np.ndarray[Any, Any]], facts: Mapping[str, Any]) -> None:
    """Writes arrays and facts to a file, atomically.

    Args:
        path: file to make or replace; a missing directory is made.
        arrays: name -> array; a name may have slashes.
        facts: JSON values about the arrays (task, layer, step, ...).

    Raises:
        DirectoryGoneError: the directory of the run was renamed or removed.
        OSError: the file system refused, for instance for lack of space; no file is left.
    """
    if not path.parent.parent.is_dir():  # made again, it would hold one part of a run, and its new name the other
        raise DirectoryGoneError(path.parent.parent)
    path.parent.mkdir(exist_ok=True)
    # Checksums run in parallel with the writing, which waits for the disk; in sequence they take a third of the time.
    with ThreadPoolExecutor(1, "checksums") as pool, new_file(path) as file:
        descriptions = pool.map(_description, arrays.values())
        for name, array in arrays.items():
            file.create_dataset(name, data=array)
        described = dict(zip(arrays, descriptions, strict=True))
        manifest = json.dumps({"facts": dict(facts), "arrays": described}, sort_keys=True).encode()
        # A string of fixed length: variable length uses a heap, and libhdf5 2.0 can loop without end in a damaged heap.
        file.attrs["manifest"] = np.bytes_(manifest)
        file.attrs["manifest_crc32"] = zlib.crc32(manifest)
        file.attrs["hpcmtl_sealed"] = FORMAT


def read_sealed(path: Path, prefix: str = "") -> tuple[Arrays, dict[str, Any]]:
    """Reads a file that `seal` wrote.

    Args:
        path: the file.
        prefix: prefix of the names of the arrays that are wanted.

    Returns:
        The arrays by name, and the facts.

    Raises:
        DamagedFileError: the file is missing or not sealed, or differs from its checksums.
        EnvironmentUnfitError: it cannot be read now, for a reason that is not in the file.
    """
    try:
        # Without locks: many ranks read at the same time, and some file systems refuse locks (errno 37, 524).
        with h5py.File(path, "r", locking=False) as file:
            return _read(path, file, prefix)
    except DamagedFileError:
        raise
    except OSError as error:
        if error.errno in _NOT_OF_THE_FILE:
            raise EnvironmentUnfitError(f"{path} cannot be read: {error}; try again later") from error
        raise DamagedFileError(f"{path} cannot be read: {error}") from error
    except Exception as error:  # h5py raises errors of any class for damaged bytes
        raise DamagedFileError(f"{path} cannot be read: {error}") from error


def _read(path: Path, file: h5py.File, prefix: str) -> tuple[Arrays, dict[str, Any]]:
    if file.attrs.get("hpcmtl_sealed") != FORMAT:
        raise DamagedFileError(f"{path} is not sealed: its writer did not finish, or was of another version")
    written = bytes(file.attrs["manifest"])
    if zlib.crc32(written) != file.attrs["manifest_crc32"]:
        raise DamagedFileError(f"{path}: its manifest differs from its checksum; the file was changed or damaged")
    manifest = json.loads(written)
    arrays: Arrays = {}
    for name, expected in manifest["arrays"].items():
        if name.startswith(prefix):
            stored = file[name]
            # Shape and dtype are compared before the read: damaged ones could request any amount of memory.
            fits = [stored.dtype.str, list(stored.shape)] == expected[:2]
            array = np.asarray(stored[()] if fits else 0)
            if _description(array) != expected:
                text = f"array {name} differs from its checksum; the file was changed or damaged"
                raise DamagedFileError(f"{path}: {text}")
            arrays[name] = array
    return arrays, manifest["facts"]


def _description(array: np.ndarray[Any, Any]) -> list[Any]:
    """Returns dtype, shape and checksum of an array, in the types that JSON gives back."""
    array = np.asarray(array)
    return [array.dtype.str, list(array.shape), zlib.crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)]

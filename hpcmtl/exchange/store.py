"""Sealed HDF5 files of named arrays: checkpoints and artifacts are one format.

A file is written aside, flushed to disk and renamed: a reader sees all of it or none. Opening is no proof (after kill
-9 HDF5 opens files whose unwritten rows read as zeros, and HDF5 itself sees no damage in what describes an array), so a
manifest says what there is: the facts, and dtype, shape and checksum of every array. It has a checksum of its own.
"""

from __future__ import annotations

import json
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from hpcmtl.data.atomic_file import new_file
from hpcmtl.errors import HpcmtlError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from hpcmtl.arrays import Arrays


FORMAT = 3

PARAMETERS = "parameters/"
"""Prefix of the names of a network's parameters, in checkpoints and in artifacts."""


class DamagedFileError(HpcmtlError):
    """A sealed file is missing, cut short or changed; the message names the file and what is wrong."""


class DamagedArtifactError(HpcmtlError):
    """What a task published cannot be used; the task can make it again.

    Attributes:
        producer: name of the task.
    """

    def __init__(self, message: str, producer: str) -> None:
        super().__init__(message, producer)  # both, so that it can travel by pickle
        self.producer = producer

    def __str__(self) -> str:
        return str(self.args[0])


@contextmanager
def artifact_of(producer: str, path: Path) -> Iterator[Path]:
    """Turn what is wrong with a file that is read inside into the producer's `DamagedArtifactError`."""
    try:
        yield path
    except Exception as error:  # what h5py raises for damaged bytes may be of any class
        raise DamagedArtifactError(f"the artifact of task {producer}, {path}, is damaged: {error}", producer) from error


def seal(path: Path, arrays: Mapping[str, np.ndarray[Any, Any]], facts: Mapping[str, Any]) -> None:
    """Write arrays and JSON-able facts to `path`, all or nothing.

    Args:
        path: file to make or replace; its directory is made if need be.
        arrays: name -> array; a name may have slashes.
        facts: what is known about them (task, layer, step, ...).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Checksums are made beside the writing, which waits for the disk: else they are a third of the time.
    with ThreadPoolExecutor(1, "checksums") as pool, new_file(path) as file:
        descriptions = pool.map(_description, arrays.values())
        for name, array in arrays.items():
            file.create_dataset(name, data=array)
        described = dict(zip(arrays, descriptions, strict=True))
        manifest = json.dumps({"facts": dict(facts), "arrays": described}, sort_keys=True).encode()
        # Of fixed length: strings of variable length lie in a heap, and libhdf5 2.0 can loop for ever in a damaged one.
        file.attrs["manifest"] = np.bytes_(manifest)
        file.attrs["manifest_crc32"] = zlib.crc32(manifest)
        file.attrs["hpcmtl_sealed"] = FORMAT


def read_sealed(path: Path, prefix: str = "") -> tuple[Arrays, dict[str, Any]]:
    """Return the arrays whose names begin with `prefix`, and the facts, of a file that `seal` wrote.

    Raises:
        DamagedFileError: if the file is not there, not sealed, or differs from what was sealed.
    """
    try:
        # Read-only and without locks: many ranks read at once, and some file systems refuse locks (errno 37, 524).
        with h5py.File(path, "r", locking=False) as file:
            return _read(path, file, prefix)
    except DamagedFileError:
        raise
    except Exception as error:  # what h5py raises for damaged bytes may be of any class
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
            # Shape and dtype first: damage there could ask for any amount of memory.
            fits = [stored.dtype.str, list(stored.shape)] == expected[:2]
            array = np.asarray(stored[()] if fits else 0)
            if _description(array) != expected:
                text = f"array {name} differs from its checksum; the file was changed or damaged"
                raise DamagedFileError(f"{path}: {text}")
            arrays[name] = array
    return arrays, manifest["facts"]


def _description(array: np.ndarray[Any, Any]) -> list[Any]:
    """Dtype, shape and checksum, as they come out of JSON."""
    array = np.asarray(array)
    return [array.dtype.str, list(array.shape), zlib.crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)]

"""Sealed HDF5 files of named arrays: checkpoints and artifacts are one format.

A file is written aside, flushed to disk and renamed: a reader sees all of it or none. Opening is no proof (after kill
-9 HDF5 opens files whose unwritten rows read as zeros), so every array has a checksum that is compared on reading.
"""

from __future__ import annotations

import json
import zlib
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from hpcmtl.data.aside import new_file
from hpcmtl.errors import HpcmtlError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

Arrays = dict[str, np.ndarray[Any, Any]]

FORMAT = 1


class DamagedFileError(HpcmtlError):
    """A sealed file is missing, cut short or changed; the message names the file and what is wrong."""


def seal(path: Path, arrays: Mapping[str, np.ndarray[Any, Any]], facts: Mapping[str, Any]) -> None:
    """Write arrays and JSON-able facts to `path`, all or nothing.

    Args:
        path: file to make or replace; its directory is made if need be.
        arrays: name -> array; a name may have slashes.
        facts: what is known about them (task, layer, step, ...).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with new_file(path) as file:
        for name, array in arrays.items():
            dataset = file.create_dataset(name, data=array)
            dataset.attrs["crc32"] = _checksum(array)
        file.attrs["facts"] = json.dumps(dict(facts), sort_keys=True)
        file.attrs["names"] = json.dumps(sorted(arrays))
        file.attrs["hpcmtl_sealed"] = FORMAT


def read_sealed(path: Path, prefix: str = "") -> tuple[Arrays, dict[str, Any]]:
    """Return the arrays whose names begin with `prefix`, and the facts, of a file that `seal` wrote.

    Raises:
        DamagedFileError: if the file is not there, not sealed, or an array differs from its checksum.
    """
    try:
        # Read-only and without locks: many ranks read at once, and some file systems refuse locks (errno 37, 524).
        with h5py.File(path, "r", locking=False) as file:
            if file.attrs.get("hpcmtl_sealed") != FORMAT:
                raise DamagedFileError(f"{path} is not sealed: its writer did not finish")
            names = [name for name in json.loads(file.attrs["names"]) if name.startswith(prefix)]
            arrays = {name: file[name][()] for name in names}
            sums = {name: int(file[name].attrs["crc32"]) for name in names}
            facts = json.loads(file.attrs["facts"])
    except (OSError, KeyError) as error:
        raise DamagedFileError(f"{path} cannot be read: {error}") from error
    for name, array in arrays.items():
        if _checksum(array) != sums[name]:
            raise DamagedFileError(f"{path}: array {name} differs from its checksum; the file was changed or damaged")
    return arrays, facts


def _checksum(array: np.ndarray[Any, Any]) -> int:
    return zlib.crc32(np.ascontiguousarray(array).view(np.uint8).reshape(-1).data)

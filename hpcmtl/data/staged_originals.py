"""Copies of adopted files on the disk of a node: the originals, and a file of the adoption that leads to the copies."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from hpcmtl.data.adopted_array import ARRAYS, ORIGINALS, originals_in
from hpcmtl.data.open_file import open_sealed
from hpcmtl.data.stored_array import is_adopted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from hpcmtl.data.originals import Original


def originals_to_copy(path: Path) -> list[Original]:
    """Returns the originals of an adopted file; none for another data file.

    Raises:
        OSError: an original has values in other files, or is not as it was when adopted: a copy would hide that.
    """
    with open_sealed(path) as file:
        if not is_adopted(file):
            return []
        spread = [name for name, stored in file[ARRAYS].items() if stored.attrs["elsewhere"]]
        originals = originals_in(file, path)
    if spread:
        raise OSError(f"{spread[0]} has values in other files than those that were adopted")
    require_untouched(originals)
    return originals


def require_untouched(originals: Sequence[Original]) -> None:
    """Refuses originals whose size or time of change is not that of the adoption.

    Raises:
        OSError: there is such an original.
    """
    touched = [str(each.path) for each in originals if not each.is_untouched]
    if touched:
        raise OSError(f"{touched[0]} is not as it was when it was adopted")


def copy_originals(originals: Sequence[Original], folder: Path, copy: Callable[[Path, Path], None]) -> list[str]:
    """Copies originals to a folder, with their times of change; returns the names of the copies in it.

    Args:
        originals: the originals.
        folder: folder of the copies; it is made.
        copy: copies one file to another path.

    Raises:
        OSError: the file system refused.
    """
    folder.mkdir(exist_ok=True)
    names = [f"{number:06d}-{each.path.name}" for number, each in enumerate(originals)]
    for each, name in zip(originals, names, strict=True):
        copy(each.path, folder / name)
        os.utime(folder / name, ns=(each.modified, each.modified))
    return names


def lead_to(adopted: Path, folder: Path, names: Sequence[str]) -> None:
    """Writes into a copy of an adopted file where the copies of its originals are.

    Args:
        adopted: the copy, in the same folder as `folder`.
        folder: folder of the copies of the originals.
        names: their names in it, in the order of the originals.
    """
    paths = [os.fsencode(f"{folder.name}/{name}") for name in names]
    values: np.ndarray[Any, Any] = np.array(paths, f"S{max(map(len, paths))}")
    with h5py.File(adopted, "r+", locking=False) as file:
        del file[ORIGINALS]["path"]
        file.create_dataset(f"{ORIGINALS}/path", data=values, chunks=True, fletcher32=True)

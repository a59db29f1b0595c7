"""Rows that were added to a data file since an earlier run: those behind the rows that the run had."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from hpcmtl.data.array_writer import checksum_of
from hpcmtl.data.contract import SPLIT, rows_per_chunk
from hpcmtl.data.hdf5 import class_names
from hpcmtl.data.open_file import naming_damage, open_sealed
from hpcmtl.data.stored_array import array_names, find_array

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from pathlib import Path

    from hpcmtl.data.fingerprint import Fingerprint
    from hpcmtl.data.stored_array import StoredArray

_WORDS = re.compile(
    r"^(?P<dtype>\S+), \((?P<rows>\d+),(?P<shape>[^)]*)\), crc32 (?P<checksum>[0-9a-f]{8})(, scale (?P<scale>[^,]+))?"
)


def rows_before(path: Path, names: Collection[str], earlier: Iterable[Fingerprint]) -> int | None:
    """Returns how many of the first rows of a file are all rows of a file of an earlier run.

    The rows are compared by checksums, with their split, so that the file may have another name by now. Equal numbers
    have to mean the same: scale and names of the classes as well, but for classes that were added behind.

    Args:
        path: the file.
        names: arrays whose rows are compared.
        earlier: fingerprints of the files of that run.

    Returns:
        The number of rows; None if none of its files had the same first rows.

    Raises:
        InputError: the file cannot be read.
    """
    wanted = [*sorted(names), SPLIT]
    for known in sorted(earlier, key=lambda each: -_rows(each, SPLIT)):
        if all(name in known.arrays for name in wanted) and all(_begins_with(path, name, known) for name in wanted):
            return _rows(known, SPLIT)
    return None


def _rows(known: Fingerprint, name: str) -> int:
    found = _WORDS.match(known.arrays.get(name, ""))
    return int(found["rows"]) if found else 0


def _means_the_same(dataset: StoredArray, scale: str | None, classes: tuple[str, ...]) -> bool:
    """Returns whether equal stored numbers are equal values and classes, as far as these have names."""
    now, named = dataset.attrs.get("scale"), class_names(dataset) or ()
    return (None if now is None else repr(float(now))) == scale and named[: len(classes)] == classes


def _begins_with(path: Path, name: str, known: Fingerprint) -> bool:
    """Returns whether the first rows of an array are all those that it had in an earlier run."""
    words = _WORDS.match(known.arrays[name])
    with open_sealed(path) as file:
        if words is None or name not in array_names(file):
            return False
        dataset, count = find_array(file, path, name), int(words["rows"])
        shape = tuple(int(each) for each in words["shape"].split(",") if each.strip())
        if (str(dataset.dtype), tuple(dataset.shape[1:])) != (words["dtype"], shape) or len(dataset) < count:
            return False
        if not _means_the_same(dataset, words["scale"], known.classes.get(name, ())):
            return False
        rows, checksum = rows_per_chunk(dataset.shape, dataset.dtype), 0
        for start in range(0, count, rows):
            with naming_damage(path, name, dataset):
                block = np.ascontiguousarray(dataset[start : min(start + rows, count)])
            checksum = checksum_of(block, checksum)
        return checksum == int(words["checksum"], 16)

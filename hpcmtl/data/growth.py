"""Rows that were added to a data file since an earlier run: those behind the rows that the run had."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from hpcmtl.data.array_writer import checksum_of
from hpcmtl.data.contract import SPLIT
from hpcmtl.data.hdf5 import class_names
from hpcmtl.data.open_file import naming_damage, open_sealed
from hpcmtl.data.ragged_dataset import RaggedDataset
from hpcmtl.data.stored_array import array_names, find_array, value_blocks

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from pathlib import Path

    from hpcmtl.data.fingerprint import Fingerprint
    from hpcmtl.data.stored_array import Found

_WORDS = re.compile(r"^(?P<dtype>\S+), \((?P<rows>\d+),(?P<shape>[^)]*)\), crc32 (?P<checksum>[0-9a-f]{8})")
_SCALE = re.compile(r", scale (?P<scale>[^,]+)")


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


def _begins_with(path: Path, name: str, known: Fingerprint) -> bool:
    """Returns whether the first rows of an array are all those that it had in an earlier run, as networks read them."""
    text = known.arrays[name]
    words, scale = _WORDS.match(text), _SCALE.search(text)
    with open_sealed(path) as file:
        if words is None or name not in array_names(file):
            return False
        dataset, count = find_array(file, path, name), int(words["rows"])
        ragged = isinstance(dataset, RaggedDataset)
        shape = tuple(int(each) for each in words["shape"].split(",") if each.strip())
        # New samples may be longer than all old ones.
        same = (dataset.shape[2:], shape[1:]) if ragged else (dataset.shape[1:], shape)
        if str(dataset.dtype) != words["dtype"] or same[0] != same[1] or len(dataset) < count:
            return False
        if dataset.attrs.get("scale") != (None if scale is None else float(scale["scale"])):
            return False
        classes = known.classes.get(name, ())
        if (class_names(dataset) or ())[: len(classes)] != classes:  # labels that were added come behind
            return False
        with naming_damage(path, name, dataset):
            return _checksum_of_first(dataset, count) == int(words["checksum"], 16)


def _checksum_of_first(dataset: Found, count: int) -> int:
    """Returns the checksum that an array of the first samples alone would have."""
    checksum = 0
    for block, _ in value_blocks(dataset, count):
        checksum = checksum_of(block, checksum)
    return checksum_of(dataset.lengths[:count], checksum) if isinstance(dataset, RaggedDataset) else checksum

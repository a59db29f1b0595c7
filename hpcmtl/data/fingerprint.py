"""Fingerprints of data files: they show whether a file still holds the values that a run began with.

The checksums are those in the file. The pass before the run compares them with all values, so that reading them again
costs only the metadata.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpcmtl.data.contract import SPLIT
from hpcmtl.data.hdf5 import class_names, file_version
from hpcmtl.data.open_file import naming_damage, open_sealed
from hpcmtl.data.stored_array import array_names, find_array
from hpcmtl.data.values import check_intact
from hpcmtl.errors import InputError, Problem

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from hpcmtl.data.stored_array import StoredArray

FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Fingerprint:
    """Identifies the content of a data file.

    Attributes:
        version: inode, size and time of the last change: if they are equal, the file is taken as unchanged.
        arrays: name -> type, shape, checksum, scale and number of classes in words; ``split`` included.
        classes: name -> names of the classes, for arrays that have any; empty in records of earlier versions.
    """

    version: tuple[int, ...]
    arrays: Mapping[str, str]
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def fingerprint_of(path: Path) -> Fingerprint:
    """Reads the fingerprint of a file from its metadata.

    Raises:
        InputError: the file cannot be read.
    """
    version = file_version(path)
    with open_sealed(path) as file, naming_damage(path, "its metadata"):
        found = {name: find_array(file, path, name) for name in array_names(file)}
        arrays = {name: _in_words(each) for name, each in found.items()}
        classes = {name: names for name, each in found.items() if (names := class_names(each)) is not None}
    return Fingerprint(version=version, arrays=arrays, classes=classes)


def fingerprints_of(paths: Iterable[Path]) -> dict[Path, Fingerprint]:
    """Returns the fingerprint of each file."""
    return {path: fingerprint_of(path) for path in paths}


def _in_words(dataset: StoredArray) -> str:
    checksum, scale, classes = dataset.attrs.get("checksum"), dataset.attrs.get("scale"), class_names(dataset)
    words = [
        str(dataset.dtype),
        str(dataset.shape),
        "no checksum" if checksum is None else f"crc32 {int(checksum):08x}",
    ]
    words += [] if scale is None else [f"scale {float(scale)!r}"]
    return ", ".join(words if classes is None else [*words, f"{len(classes)} classes"])


def fingerprints_to_json(fingerprints: Mapping[Path, Fingerprint]) -> dict[str, Any]:
    """Returns fingerprints as JSON values."""
    return {"format": FORMAT, "files": {str(path): asdict(each) for path, each in fingerprints.items()}}


def read_fingerprints(record: Path) -> Mapping[Path, Fingerprint]:
    """Returns the fingerprints in a file, by path; none if there is no such file: an older hpcmtl began the run.

    Raises:
        InputError: the file cannot be read.
    """
    return _read(record, file_version(record)) if record.exists() else {}


@lru_cache(maxsize=4)
def _read(record: Path, version: tuple[int, ...]) -> Mapping[Path, Fingerprint]:  # noqa: ARG001 - a part of the key
    try:
        values = json.loads(record.read_text(encoding="utf-8"))
        return {
            Path(path): Fingerprint(
                version=tuple(each["version"]),
                arrays=dict(each["arrays"]),
                classes={name: tuple(names) for name, names in each.get("classes", {}).items()},
            )
            for path, each in values["files"].items()
        }
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        message = f"cannot be read ({error}); remove it to go on without a comparison of the data"
        raise InputError([Problem(str(record), message)]) from error


def changes(path: Path, before: Fingerprint, names: Collection[str]) -> list[Problem]:
    """Returns the named arrays of a file, and its split, that are no longer as they were.

    Raises:
        InputError: the file cannot be read.
    """
    return list(_differences(path, before, fingerprint_of(path), names))


def _differences(path: Path, before: Fingerprint, now: Fingerprint, names: Collection[str]) -> Iterator[Problem]:
    for name in (*sorted(names), SPLIT):
        was, found = before.arrays.get(name), now.arrays.get(name)
        if was is not None and was != found:
            text = f"was {was} when the run began, and is {found or 'gone'}: tasks have used the old values"
            yield Problem(f"{path}: {name}", f"{text}. Put the old file back, or begin a new run")


def require_unchanged(path: Path, before: Fingerprint, names: Collection[str]) -> None:
    """Refuses a file whose values differ from those that a run began with.

    A file with the same inode, size and time is taken as unchanged. One with others is read once by this process.

    Raises:
        InputError: values of the named arrays or the split have changed.
    """
    version = file_version(path)
    if version != before.version:
        _require_equal(path, version, tuple(sorted(before.arrays.items())), tuple(sorted(names)))


@lru_cache(maxsize=64)
def _require_equal(
    path: Path, version: tuple[int, ...], arrays: tuple[tuple[str, str], ...], names: tuple[str, ...]
) -> None:
    problems = changes(path, Fingerprint(version=version, arrays=dict(arrays)), names)
    if problems:
        raise InputError(problems)
    check_intact(path, [*names, SPLIT])

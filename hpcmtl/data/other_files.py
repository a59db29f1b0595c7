"""Values that an HDF5 file has in other files: which files these are, and which values are not there.

HDF5 gives fill values, without an error, for values of a virtual dataset whose source is missing, and zeros where a
file of external storage is too short. Such values must never be taken for data.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py

if TYPE_CHECKING:
    from collections.abc import Iterator

ALLOWED = "HPCMTL_HDF5_EXTERNAL"
"""Environment variable that lets data files have values in other files, if it is 1."""


def others_allowed() -> bool:
    """Returns true if the user lets data files have values in other files."""
    return os.environ.get(ALLOWED) == "1"


def other_files(file: h5py.File, made: h5py.Dataset | h5py.Group) -> set[str]:
    """Returns the files that external links, external storage and virtual datasets lead to."""
    found = {made.file.filename} - {file.filename}
    if isinstance(made, h5py.Dataset):
        found |= {str(name) for name, _, _ in made.external or ()}
        found |= {source.file_name for source in made.virtual_sources()} - {"."} if made.is_virtual else set()
    return found


def lacking_values(dataset: h5py.Dataset) -> str:
    """Returns in words which values of a dataset are not there; empty if all are."""
    return next(_lacking(dataset), "")


def _lacking(dataset: h5py.Dataset) -> Iterator[str]:
    for name, offset, size in dataset.external or ():
        yield from _lacking_bytes(Path(str(name)), int(offset), int(size), dataset)
    if not dataset.is_virtual:
        return
    sources = dataset.virtual_sources()
    if any(_is_unlimited(source) for source in sources):
        yield "is virtual with sources of unlimited length, so what is missing cannot be known"
        return
    for source in sources:
        yield from _lacking_source(dataset, source)
    mapped = sum(source.vspace.get_select_npoints() for source in sources)
    if mapped < dataset.size:
        yield f"is virtual and has no source for {dataset.size - mapped} of its {dataset.size} values"


def _is_unlimited(source: Any) -> bool:
    try:
        source.vspace.get_select_npoints()
    except RuntimeError:  # HDF5's answer for such a selection
        return True
    return False


def _lacking_bytes(path: Path, offset: int, size: int, dataset: h5py.Dataset) -> Iterator[str]:
    """Yields what is wrong with a file of external storage; HDF5 seeks it from the working directory."""
    wanted = offset + min(size, dataset.size * dataset.dtype.itemsize)
    if not path.is_file():
        yield f"has its values in {path.absolute()}, which is not there"
    elif path.stat().st_size < wanted:
        yield f"has its values in {path.absolute()}, which has {path.stat().st_size} bytes of {wanted}"


def _lacking_source(dataset: h5py.Dataset, source: Any) -> Iterator[str]:
    """Yields what is wrong with one source of a virtual dataset."""
    own = Path(dataset.file.filename)
    path = own if source.file_name == "." else own.parent / source.file_name
    if not path.is_file():  # HDF5 seeks it last where the file itself lies, if its path is a symbolic link
        beside = own.resolve().parent / source.file_name
        path = beside if beside.is_file() else path
    if not path.is_file():
        yield f"is virtual, and its source {path} is not there"
        return
    if path == own:
        yield from _lacking_part(dataset.file, path, source)
        return
    try:
        file = h5py.File(path, "r", locking=False)
    except OSError as error:
        yield f"is virtual, and its source {path} cannot be read ({error})"
        return
    with file:
        yield from _lacking_part(file, path, source)


def _lacking_part(file: h5py.File, path: Path, source: Any) -> Iterator[str]:
    """Yields what a source file lacks of the values that are mapped."""
    name, found, space = source.dset_name, file.get(source.dset_name), source.src_space
    if not isinstance(found, h5py.Dataset):
        yield f"is virtual, and its source {path} has no dataset {name}"
        return
    wanted = source.vspace.get_select_npoints()
    if space.get_select_type() == h5py.h5s.SEL_ALL:
        if found.size != wanted:
            yield f"is virtual, and {name} of its source {path} has {found.size} values, not {wanted}"
    else:
        least = tuple(int(end) + 1 for end in space.get_select_bounds()[1])
        if len(least) != found.ndim or any(need > length for need, length in zip(least, found.shape, strict=True)):
            yield f"is virtual, and {name} of its source {path} has the shape {found.shape}, not {least} or more"
    yield from _lacking(found)

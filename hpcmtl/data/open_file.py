"""Opening of sealed HDF5 files and of the datasets in them; each failure has words and a remedy of its own."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import h5py

from hpcmtl.data.contract import CHUNK_BYTES, SPLIT
from hpcmtl.data.other_files import ALLOWED, lacking_values, other_files, others_allowed
from hpcmtl.errors import InputError, Problem, nearest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FORMAT, ADOPTED_FORMAT = 1, 2
"""Numbers of the formats of a file that holds its values, and of one whose values lie in adopted files."""

_BEING_WRITTEN = ("open for write", "SWMR", "locking flag", "unable to lock file")

CACHE_BYTES = 8 * CHUNK_BYTES
"""Chunks of an open dataset that HDF5 keeps; it reads a larger chunk again for each block of rows."""


@contextmanager
def open_sealed(path: Path) -> Iterator[h5py.File]:
    """Opens a file for reading; refuses it unless it is sealed in a supported format.

    No lock: sealed files never change, and many ranks read them, some on mounts without locks.
    """
    if not path.is_file():
        raise InputError([Problem(str(path), "is not a file" if path.exists() else "does not exist")])
    try:
        # The cache holds several chunks, so that neighbouring reads of small arrays do not read a chunk twice. The
        # number of slots is a much larger prime, as HDF5 recommends.
        file = h5py.File(path, "r", locking=False, rdcc_nbytes=CACHE_BYTES, rdcc_nslots=521)
    except OSError as error:
        raise InputError([Problem(str(path), not_opened(error))]) from error
    with file:
        with naming_damage(path, "its attributes"):
            sealed, number = file.attrs.get("sealed", False), file.attrs.get("hpcmtl_format")
        if not sealed:
            message = "is not sealed: its writer did not finish, or was not write_dataset_file; write it again"
            raise InputError([Problem(str(path), message)])
        if number not in {FORMAT, ADOPTED_FORMAT}:
            message = f"has format {number}; this hpcmtl reads the formats {FORMAT} and {ADOPTED_FORMAT}"
            raise InputError([Problem(str(path), message)])
        yield file


def not_opened(error: OSError) -> str:
    """Returns why HDF5 does not open a file, with a remedy."""
    if any(words in str(error) for words in _BEING_WRITTEN):
        remedy = "close it there; if no program has it open, its writer was killed: write the file again"
        return f"is open for writing (or SWMR writing) in another program: {remedy} ({error})"
    return f"is truncated, unreadable or not an HDF5 file; make or copy it again ({error})"


@contextmanager
def naming_damage(path: Path, name: str, dataset: h5py.Dataset | None = None) -> Iterator[None]:
    """Converts exceptions of HDF5 to an error that names file and dataset.

    Args:
        path: the file.
        name: name of what is read.
        dataset: dataset that is read, if it is one: a filter that this installation lacks is then named.
    """
    try:
        yield
    except (OSError, RuntimeError, KeyError) as error:
        lacking = _missing_filters(dataset)
        if lacking:
            message = f"is compressed by {lacking}, which this HDF5 lacks; install hdf5plugin, or write the file again"
        else:
            message = f"cannot be read, the file is damaged; make or copy it again ({error})"
        raise InputError([Problem(f"{path}: {name}", message)]) from error


def _missing_filters(dataset: h5py.Dataset | None) -> str:
    """Returns the filters of a dataset that cannot be used here, in words; empty if there are none."""
    if not isinstance(dataset, h5py.Dataset):
        return ""
    properties = dataset.id.get_create_plist()
    filters = [properties.get_filter(number) for number in range(properties.get_nfilters())]
    missing = [(code, name) for code, _, _, name in filters if not h5py.h5z.filter_avail(code)]
    return ", ".join(f"filter {code}{f' ({name.decode()})' if name else ''}" for code, name in missing)


def find_dataset(file: h5py.File, path: Path, name: str) -> h5py.Dataset:
    """Returns a dataset by name.

    Raises:
        InputError: there is no dataset of that name, it is a link to something that is not there, or its values lie in
            another file: whoever made this file could have any file of the reader's read, and handed on.
    """
    with naming_damage(path, name):
        known = [known for known in file if known != SPLIT]
        link = file.get(name, getlink=True) if name in file else None
    if link is None:
        raise InputError([Problem(f"{path}: {name}", f"there is no such dataset{nearest(name, known)}")])
    try:
        made = file[name]
    except KeyError as error:
        if isinstance(link, h5py.HardLink):
            message = f"cannot be read, the file is damaged; make or copy it again ({error})"
        else:
            outside = f" of the file {link.filename}" if isinstance(link, h5py.ExternalLink) else ""
            kind = "an external link" if outside else "a soft link"
            message = f"is {kind} to {link.path}{outside}, which is not there; write the values into this file instead"
        raise InputError([Problem(f"{path}: {name}", message)]) from error
    with naming_damage(path, name):
        others = sorted(other_files(file, made))
    if others and not others_allowed():
        text = f"has its values in other files: {', '.join(others)}"
        remedy = f"write them into this one, or set {ALLOWED}=1 to read them"
        raise InputError([Problem(f"{path}: {name}", f"{text}; {remedy}")])
    if isinstance(made, h5py.Dataset):
        with naming_damage(path, name):
            lacking = lacking_values(made)
        if lacking:
            message = f"{lacking}; put it back, or write the values into this file"
            raise InputError([Problem(f"{path}: {name}", message)])
    return made

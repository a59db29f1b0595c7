"""Rules of docs/data_format.md for the content of a data file, as functions that return the violations."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.data.given_arrays import REMEDIES
from hpcmtl.data.missing import is_known
from hpcmtl.data.split import SPLIT_CODES
from hpcmtl.errors import Problem, nearest

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from hpcmtl.arrays import Ints
    from hpcmtl.networks.objective import Missing

SPLIT = "split"
CHUNK_BYTES = 1 << 20
# Class names are stored in an attribute, and HDF5 attributes are small.
MAX_CLASSES = 4000
NUMBERS, STORABLE = "iuf", "iufbcSU"
"""Kinds of numpy types in a data set, and in the arrays that python tasks publish: numbers of all types, bool, text."""
_DECLARED = (
    "labels that are missing are declared: `missing: {0}` of a task, and for the file the attribute `missing` in "
    "write_dataset_file, or `--missing` of `hpcmtl data adopt`"
)
_NUMBERS_WANTED = "; convert to integers or floats, e.g. .astype(np.uint8)"


def rows_per_chunk(shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    """Returns the number of whole samples in a chunk of about 1 MiB, at most all of them."""
    sample = max(dtype.itemsize * math.prod(shape[1:]), 1)
    return max(1, min(shape[0], CHUNK_BYTES // sample))


def array_problems(
    path: Path | str, arrays: Mapping[str, NDArray[Any]], split: NDArray[Any], *, kinds: str = NUMBERS
) -> list[Problem]:
    """Checks names, types and shapes of the arrays of one file.

    Args:
        path: the file, or who made the arrays, for messages.
        arrays: arrays by name.
        split: split of the samples.
        kinds: kinds of numpy types that are allowed; arrays without a value are allowed for `STORABLE`.
    """
    problems = [] if arrays else [Problem(str(path), "holds no arrays besides split; give at least one")]
    for name, array in arrays.items():
        where = f"{path}: {name}"
        if name in {SPLIT, "", "."} or "/" in name:
            problems.append(Problem(f"{path}: {name!r}", f"cannot name an array; use a word other than {SPLIT!r}"))
        if array.dtype.kind not in kinds:
            remedy = f", which are {known}" if (known := REMEDIES.get(array.dtype.kind)) else _NUMBERS_WANTED
            problems.append(Problem(where, f"values of type {array.dtype}{remedy}"))
        if array.ndim == 0:
            problems.append(Problem(where, "is one value; the first axis counts samples, so give it as [value]"))
        elif array.size == 0 and kinds == NUMBERS:
            problems.append(Problem(where, f"shape {array.shape} is empty; the first axis counts samples"))
        elif split.ndim and len(array) != len(split):
            message = f"{len(array)} samples, but {SPLIT} has {len(split)}; the first axis counts samples"
            problems.append(Problem(where, message))
    return problems + split_problems(path, split)


def split_problems(path: Path | str, split: NDArray[Any]) -> list[Problem]:
    """Checks the codes of a split."""
    if split.ndim == 1 and split.dtype.kind in "iu" and np.isin(split, [*SPLIT_CODES.values()]).all():
        return []
    message = f"found {_codes_found(split)}; write one code for each sample: 0 train, 1 val, 2 test"
    return [Problem(f"{path}: {SPLIT}", message)]


def _codes_found(split: NDArray[Any]) -> str:
    """Returns in words what a wrong split is: the first value that is no code, or its type and shape."""
    if split.ndim != 1 or split.dtype.kind not in "iufb":
        return f"{split.dtype} of shape {split.shape}"
    outside = np.flatnonzero(~np.isin(split, [*SPLIT_CODES.values()]))
    if not len(outside) or split.dtype.kind == "b":
        return f"values of type {split.dtype}, which is no type of whole numbers"
    more = f" ({len(outside)} such samples)" if len(outside) > 1 else ""
    return f"{split[outside[0]]} at sample {outside[0]}{more}"


def attribute_problems(
    path: Path, arrays: Mapping[str, NDArray[Any]], attributes: Mapping[str, Mapping[str, Any]]
) -> list[Problem]:
    """Checks the attributes that hpcmtl interprets."""
    problems = []
    for name, values in attributes.items():
        if name not in arrays:
            message = f"has attributes, but no array was given{nearest(name, arrays)}"
            problems.append(Problem(f"{path}: {name}", message))
        classes, checksum = values.get("classes", ()), values.get("checksum", 0)
        if np.ndim(classes) != 1:
            problems.append(Problem(f"{path}: {name}: classes", f"found {classes!r}; write a list of names"))
        elif len(classes) > MAX_CLASSES:
            message = f"more than {MAX_CLASSES} classes cannot be named in HDF5 attributes; leave the names out"
            problems.append(Problem(f"{path}: {name}: classes", message))
        scale = values.get("scale", 1)
        if not isinstance(scale, int | float | np.integer | np.floating) or not 0 < abs(float(scale)) < math.inf:
            problems.append(Problem(f"{path}: {name}: scale", f"found {scale!r}; write one finite number other than 0"))
        missing = values.get("missing", 0)
        if not isinstance(missing, int | float | np.integer | np.floating) or math.isinf(missing):
            problems.append(Problem(f"{path}: {name}: missing", f"found {missing!r}; write one number, or NaN"))
        if not isinstance(checksum, int | np.integer):
            message = f"found {checksum!r}, which is no checksum; write the file by write_dataset_file"
            problems.append(Problem(f"{path}: {name}: checksum", message))
    return problems


def value_problem(
    block: NDArray[Any], samples: Ints, classes: int, missing: Collection[Missing] = frozenset()
) -> str | None:
    """Returns a description of the first invalid value of a block, or None.

    Args:
        block: (rows, ...) values.
        samples: (rows,) numbers of the samples that they belong to.
        classes: number of named classes, 0 if none are named.
        missing: numbers that stand for missing values, and are valid.
    """
    known = np.logical_and.reduce([is_known(block, each) for each in missing]) if missing else np.True_
    if block.dtype.kind == "f" and (wrong := ~np.isfinite(block) & known).any():
        row = int(np.argwhere(wrong)[0][0])
        if np.isnan(block[row]).any():
            return f"sample {samples[row]} holds NaN; drop such samples or fill in a value; {_DECLARED.format('nan')}"
        return f"sample {samples[row]} holds Inf; drop such samples or fill in a value and write the file again"
    if classes and (outside := ((block < 0) | (block >= classes)) & known).any():
        row = int(np.argwhere(outside)[0][0])
        found = block[outside][0]
        text = f"sample {samples[row]} has label {found}; {classes} classes are named, so write 0 to {classes - 1}"
        return text if found >= 0 else f"{text}; {_DECLARED.format(found)}"
    return None

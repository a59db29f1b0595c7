"""What a data file may hold: the rules of docs/data_format.md, as functions of arrays that return what breaks them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.data.split import SPLIT_CODES
from hpcmtl.errors import Problem, nearest

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

SPLIT = "split"
CHUNK_BYTES = 1 << 20
# Names of classes are an attribute, which is no place for much.
MAX_CLASSES = 4000


def rows_per_chunk(shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    """Return how many whole samples make a chunk of about 1 MiB, at most all of them."""
    return max(1, min(shape[0], CHUNK_BYTES // (dtype.itemsize * math.prod(shape[1:]))))


def array_problems(path: Path, arrays: Mapping[str, NDArray[Any]], split: NDArray[Any]) -> list[Problem]:
    """Check names, types and shapes of the arrays of one file; `path` is only named."""
    problems = [] if arrays else [Problem(str(path), "holds no arrays besides split; give at least one")]
    for name, array in arrays.items():
        where = f"{path}: {name}"
        if name in {SPLIT, "", "."} or "/" in name:
            problems.append(Problem(f"{path}: {name!r}", f"cannot name an array; use a word other than {SPLIT!r}"))
        if array.dtype.kind not in "iuf":
            message = f"values of type {array.dtype}; convert to integers or floats, e.g. .astype(np.uint8)"
            problems.append(Problem(where, message))
        if array.ndim == 0 or array.size == 0:
            problems.append(Problem(where, f"shape {array.shape} is empty; the first axis counts samples"))
        elif split.ndim and len(array) != len(split):
            message = f"{len(array)} samples, but {SPLIT} has {len(split)}; the first axis counts samples"
            problems.append(Problem(where, message))
    return problems + split_problems(path, split)


def split_problems(path: Path, split: NDArray[Any]) -> list[Problem]:
    """Check the codes of a split."""
    if split.ndim == 1 and split.dtype.kind in "iu" and np.isin(split, [*SPLIT_CODES.values()]).all():
        return []
    message = f"{split.dtype} of shape {split.shape}; write one code for each sample: 0 train, 1 val, 2 test"
    return [Problem(f"{path}: {SPLIT}", message)]


def attribute_problems(
    path: Path, arrays: Mapping[str, NDArray[Any]], attributes: Mapping[str, Mapping[str, Any]]
) -> list[Problem]:
    """Check the attributes that have a meaning to hpcmtl."""
    problems = []
    for name, values in attributes.items():
        if name not in arrays:
            message = f"has attributes, but no array was given{nearest(name, arrays)}"
            problems.append(Problem(f"{path}: {name}", message))
        if len(values.get("classes", ())) > MAX_CLASSES:
            message = f"more than {MAX_CLASSES} classes cannot be named in HDF5 attributes; leave the names out"
            problems.append(Problem(f"{path}: {name}: classes", message))
    return problems


def value_problem(block: NDArray[Any], start: int, classes: int) -> str | None:
    """Say what is wrong with the values of a block.

    Args:
        block: (rows, ...) values.
        start: sample number of its first row.
        classes: number of named classes, 0 if none are named.
    """
    if block.dtype.kind == "f" and not (finite := np.isfinite(block)).all():
        row = int(np.argwhere(~finite)[0][0])
        kind = "NaN" if np.isnan(block[row]).any() else "Inf"
        return f"sample {start + row} holds {kind}; drop such samples or fill in a value and write the file again"
    if classes and (outside := (block < 0) | (block >= classes)).any():
        row = int(np.argwhere(outside)[0][0])
        found = block[outside][0]
        return f"sample {start + row} has label {found}; {classes} classes are named, so write 0 to {classes - 1}"
    return None

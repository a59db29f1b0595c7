"""Datasets that are read side by side, from one file or several, checked against each other before any training."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hpcmtl.data.hdf5 import describe, split_indices
from hpcmtl.data.reader import open_array
from hpcmtl.data.split import SPLIT_CODES
from hpcmtl.errors import InputError, Problem, nearest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from hpcmtl.data.hdf5 import DatasetDescription, FileDescription
    from hpcmtl.data.reader import ArrayReader


@dataclass(frozen=True, slots=True)
class Source:
    """One dataset to read; its rows are delivered under `key`."""

    key: str
    path: Path
    dataset: str


@contextmanager
def open_sources(sources: Sequence[Source]) -> Iterator[dict[str, ArrayReader]]:
    """Open a reader for each source, by key."""
    with ExitStack() as stack:
        yield {source.key: stack.enter_context(open_array(source.path, source.dataset)) for source in sources}


def check_sources(sources: Sequence[Source]) -> list[DatasetDescription]:
    """Refuse sources that cannot be read side by side; return what is known of each.

    Raises:
        InputError: bad files, unknown datasets, other numbers of samples or another split than the first source.
    """
    problems: list[Problem] = []
    described: dict[Path, FileDescription] = {}
    for path in dict.fromkeys(Path(source.path) for source in sources):
        try:
            described[path] = describe(path)
        except InputError as error:  # files are few, and each has its say
            problems += error.problems
    for source in sources:
        known = described.get(Path(source.path))
        if known is not None and source.dataset not in known.datasets:
            message = f"there is no such dataset{nearest(source.dataset, known.datasets)}"
            problems.append(Problem(f"{source.path}: {source.dataset}", message))
    if problems:
        raise InputError(problems)
    problems = _disagreements([*described.values()])
    if problems:
        raise InputError(problems)
    return [described[Path(source.path)].datasets[source.dataset] for source in sources]


def _disagreements(files: list[FileDescription]) -> list[Problem]:
    problems = []
    first, *others = files
    for other in others:
        if other.samples != first.samples:
            message = f"{other.samples} samples, but {first.path} has {first.samples}; rows must belong together"
            problems.append(Problem(str(other.path), message))
        elif any(not _same_split(first.path, other.path, name) for name in SPLIT_CODES):
            message = f"differs from that of {first.path}; test samples would be trained on, so use one split"
            problems.append(Problem(f"{other.path}: split", message))
    return problems


def _same_split(one: Path, other: Path, name: str) -> bool:
    return np.array_equal(split_indices(one, [name]), split_indices(other, [name]))


def selected(sources: Sequence[Source], splits: Sequence[str]) -> NDArray[np.int64]:
    """Return the ascending sample numbers in the named splits of checked sources.

    Raises:
        InputError: a split is unknown or all are empty.
    """
    path = sources[0].path
    problems = [
        Problem(f"{path}: split", f"there is no split {name!r}{nearest(name, SPLIT_CODES)}")
        for name in splits
        if name not in SPLIT_CODES
    ]
    if problems:
        raise InputError(problems)
    indices = split_indices(path, splits)
    if not len(indices):
        raise InputError([Problem(f"{path}: split", f"no sample is in {' or '.join(splits)}; choose another split")])
    return indices

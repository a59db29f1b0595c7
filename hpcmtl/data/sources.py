"""Datasets that are read side by side, from one or more files, checked against each other before training."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from hpcmtl.data.hdf5 import describe, numbers_in, read_split
from hpcmtl.data.lengths import read_lengths
from hpcmtl.data.reader import open_array
from hpcmtl.data.split import SPLIT_CODES
from hpcmtl.errors import InputError, Problem, nearest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    from numpy.typing import NDArray

    from hpcmtl.arrays import Ints
    from hpcmtl.data.hdf5 import DatasetDescription, FileDescription
    from hpcmtl.data.in_memory_file import InMemoryFile
    from hpcmtl.data.padding import Padding
    from hpcmtl.data.reader import ArrayReader
    from hpcmtl.data.staging import NodeCopies
    from hpcmtl.data.transforming.transforms import TransformChain


class JoinedContent(Protocol):
    """Stands for a data file whose rows come from several sources."""

    @property
    def split(self) -> NDArray[np.uint8]:
        """Split of each sample: 0 train, 1 val, 2 test."""

    @property
    def bytes(self) -> int:
        """Memory of the rows that are there before they are read, in bytes."""

    def description(self) -> FileDescription:
        """Returns what `describe` would return for such a file."""

    def opened(self, name: str) -> AbstractContextManager[ArrayReader]:
        """Opens one array."""


@dataclass(frozen=True, slots=True)
class Source:
    """Identifies one dataset to read; its rows are delivered under `key`.

    Attributes:
        key: name of the rows.
        path: path of the file.
        dataset: name of the dataset in the file.
        in_memory: content of the file, if it is in memory; the file is then not read.
        joined: several data sets that stand for the file, if they do; there is no such file then.
        transform: transforms of the rows that batches hold; None for none.
        padding: padding of samples of different lengths; None for samples of one length.
        copies: copies of files on this node, which rows are read from where there are any; None for none.
    """

    key: str
    path: Path
    dataset: str
    in_memory: InMemoryFile | None = None
    joined: JoinedContent | None = None
    transform: TransformChain | None = None
    padding: Padding | None = field(default=None, compare=False)
    copies: NodeCopies | None = None

    def described(self) -> FileDescription:
        """Returns the description of the file; see `describe`."""
        content = self.joined or self.in_memory
        return describe(self.path) if content is None else content.description()

    def split(self) -> NDArray[np.uint8]:
        """Returns the split of each sample: 0 train, 1 val, 2 test."""
        content = self.joined or self.in_memory
        return read_split(self.path) if content is None else content.split

    def opened(self) -> AbstractContextManager[ArrayReader]:
        """Returns a reader of the rows."""
        if self.joined is not None:
            return self.joined.opened(self.dataset)
        if self.in_memory is not None:
            return nullcontext(self.in_memory.reader(self.dataset))
        return open_array(self.path if self.copies is None else self.copies.nearest(self.path), self.dataset)

    @property
    def bytes_in_memory(self) -> int:
        """Memory of the rows that are there before they are read, in bytes."""
        content = self.joined or self.in_memory
        return 0 if content is None else content.bytes

    def lengths(self) -> Ints | None:
        """Returns the lengths of all samples, read-only; None if they have one length. Only files have such samples."""
        return read_lengths(self.path, self.dataset) if self.in_memory is None and self.joined is None else None

    def changed(self, rows: NDArray[Any], numbers: Ints, together: Ints, epoch: int | None = None) -> NDArray[Any]:
        """Returns rows as a batch has them: after the transforms, and with the length to which the batch is padded.

        The thread that reads the rows calls it.

        Args:
            rows: rows as they are stored.
            numbers: their sample numbers.
            together: sample numbers of the whole batch.
            epoch: epoch of a training; None for none.
        """
        rows = rows if self.transform is None else self.transform.changed(rows, numbers, epoch)
        return rows if self.padding is None else self.padding.shortened(rows, numbers, together)


@contextmanager
def open_sources(sources: Sequence[Source]) -> Iterator[dict[str, ArrayReader]]:
    """Opens a reader for each source, by key."""
    with ExitStack() as stack:
        yield {source.key: stack.enter_context(source.opened()) for source in sources}


def check_sources(sources: Sequence[Source]) -> list[DatasetDescription]:
    """Checks that sources can be read side by side, and returns the description of each.

    Raises:
        InputError: bad files, unknown datasets, other numbers of samples or another split than the first source.
    """
    problems: list[Problem] = []
    described: dict[Path, FileDescription] = {}
    firsts = {Path(source.path): source for source in reversed(sources)}
    for path in dict.fromkeys(Path(source.path) for source in sources):
        try:
            described[path] = firsts[path].described()
        except InputError as error:  # every file reports its problems
            problems += error.problems
    for source in sources:
        known = described.get(Path(source.path))
        if known is not None and source.dataset not in known.datasets:
            message = f"there is no such dataset{nearest(source.dataset, known.datasets)}"
            problems.append(Problem(f"{source.path}: {source.dataset}", message))
    if problems:
        raise InputError(problems)
    problems = disagreements([(firsts[path], known) for path, known in described.items()])
    if problems:
        raise InputError(problems)
    return [described[Path(source.path)].datasets[source.dataset] for source in sources]


def disagreements(files: Sequence[tuple[Source, FileDescription]]) -> list[Problem]:
    """Returns the problems of files whose rows cannot belong together: other numbers of samples, or another split."""
    problems = []
    (first, known), *others = files
    for other, found in others:
        if found.samples != known.samples:
            message = f"{found.samples} samples, but {first.path} has {known.samples}; rows must belong together"
            problems.append(Problem(str(other.path), message))
        elif not np.array_equal(first.split(), other.split()):
            message = f"differs from that of {first.path}; test samples would be trained on, so use one split"
            problems.append(Problem(f"{other.path}: split", message))
    return problems


def selected(sources: Sequence[Source], splits: Sequence[str]) -> Ints:
    """Returns the ascending sample numbers in the named splits of checked sources.

    Raises:
        InputError: a split is unknown, or all are empty.
    """
    path = sources[0].path
    problems = [
        Problem(f"{path}: split", f"there is no split {name!r}{nearest(name, SPLIT_CODES)}")
        for name in splits
        if name not in SPLIT_CODES
    ]
    if problems:
        raise InputError(problems)
    indices = numbers_in(sources[0].split(), splits)
    if not len(indices):
        raise InputError([Problem(f"{path}: split", f"no sample is in {' or '.join(splits)}; choose another split")])
    return indices

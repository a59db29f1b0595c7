"""Several data sets as one: arrays whose rows are those of one file behind those of another."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.data.hdf5 import DatasetDescription, FileDescription
from hpcmtl.data.reader import ArrayReader
from hpcmtl.data.split import split_sizes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from hpcmtl.data.sources import Source


@dataclass(frozen=True)
class StoredRows:
    """The rows of one data set in a joined array, from its source."""

    source: Source


@dataclass(frozen=True)
class RepeatedRow:
    """Stands for the rows of a data set that does not have a joined array: each is the first row of a source.

    It is a row that a loss can take, since it is multiplied by the weight 0 there, and 0 times NaN is NaN.
    """

    source: Source


@dataclass(frozen=True)
class ConstantRows:
    """Stands for the rows of a data set that does not have a joined array: each value is the same number."""

    value: float


JoinedPart = StoredRows | RepeatedRow | ConstantRows


@dataclass(frozen=True, eq=False)
class JoinedFile:
    """Replaces a data file by the rows of several data sets; what it delivers is what their readers deliver.

    Attributes:
        path: place that errors name.
        samples: number of rows of each data set.
        arrays: name -> a part for each data set, at least one of them with rows.
        split: (all samples,) 0 train, 1 val, 2 test.
    """

    path: Path
    samples: tuple[int, ...]
    arrays: Mapping[str, tuple[JoinedPart, ...]]
    split: NDArray[np.uint8]

    @property
    def bytes(self) -> int:
        """Memory of the arrays that are in memory already, in bytes."""
        parts = (part for array in self.arrays.values() for part in array if isinstance(part, StoredRows))
        return sum(part.source.in_memory.bytes for part in parts if part.source.in_memory is not None)

    def description(self) -> FileDescription:
        """Returns what `describe` would return for a file with these arrays."""
        described = {name: self._described(name) for name in self.arrays}
        return FileDescription(self.path, len(self.split), described, split_sizes(self.split))

    @contextmanager
    def opened(self, name: str) -> Iterator[ArrayReader]:
        """Opens one array, for this process alone."""
        with ExitStack() as stack:
            known = self._described(name)
            readers = [self._reader(part, stack) for part in self.arrays[name]]
            yield ArrayReader(self.path, name, _JoinedRows(readers, self.samples, known.shape, known.dtype))

    def _reader(self, part: JoinedPart, stack: ExitStack) -> ArrayReader | NDArray[Any]:
        if isinstance(part, ConstantRows):
            return np.array(part.value)
        reader = stack.enter_context(part.source.opened())
        return reader if isinstance(part, StoredRows) else reader.read(0, 1)[0]

    def _described(self, name: str) -> DatasetDescription:
        """Describes an array; its type is one that holds the values of all parts."""
        sources = [part.source for part in self.arrays[name] if not isinstance(part, ConstantRows)]
        found = [source.described().datasets[source.dataset] for source in sources]
        dtype = np.result_type(*(each.dtype for each in found)) if found else np.dtype(np.float32)
        dtype = np.dtype(np.float32) if dtype.kind == "f" else dtype  # as readers deliver them
        shape = max((each.shape for each in found), key=len, default=())  # masks: one number a sample, or one a label
        size = len(self.split) * dtype.itemsize * int(np.prod(shape, dtype=np.int64))
        return DatasetDescription(name, shape, dtype, found[0].classes if found else None, size)


class _JoinedRows:
    """Implements the part of an HDF5 dataset that readers use; a part is a reader, or the value of each row."""

    attrs: Mapping[str, Any] = MappingProxyType({})

    def __init__(
        self,
        parts: list[ArrayReader | NDArray[Any]],
        samples: tuple[int, ...],
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
    ) -> None:
        self._parts, self._begins = parts, np.concatenate([[0], np.cumsum(samples)])
        self.shape, self.dtype = (int(self._begins[-1]), *shape), dtype

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        out = np.empty((rows.stop - rows.start, *self.shape[1:]), self.dtype)
        for part, begin, end in zip(self._parts, self._begins, self._begins[1:], strict=False):
            start, stop = max(rows.start, int(begin)), min(rows.stop, int(end))
            if start < stop:
                place = out[start - rows.start : stop - rows.start]
                place[...] = _rows(part, start - int(begin), stop - int(begin), place.ndim)
        return out


def _rows(part: ArrayReader | NDArray[Any], start: int, stop: int, axes: int) -> NDArray[Any]:
    """Returns rows of a part for a number of axes: one number a sample stands for all its labels."""
    if not isinstance(part, ArrayReader):
        return part
    values = part.read(start, stop)
    return values.reshape(*values.shape, *[1] * (axes - values.ndim))

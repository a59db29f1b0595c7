"""Writing of one dataset chunk by chunk, with the checksum of its values; used by all writers of sealed files."""

from __future__ import annotations

import zlib
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from hpcmtl.data.contract import rows_per_chunk, value_problem
from hpcmtl.data.missing import declared
from hpcmtl.data.open_file import FORMAT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

_NOTHING: Mapping[str, Any] = MappingProxyType({})


def checksum_of(block: NDArray[Any], checksum: int = 0) -> int:
    """Returns the CRC-32 of contiguous values, continued from that of the values before them."""
    return zlib.crc32(block.reshape(-1).view(np.uint8).data, checksum)


def write_classes(item: h5py.Dataset | h5py.Group, names: Iterable[Any]) -> int:
    """Writes the names of classes as an attribute, if there are any; returns their number."""
    classes = [str(label).encode() for label in names]
    if classes:  # fixed length: libhdf5 2.0 can loop forever in a damaged heap of variable-length strings
        longest = max(*map(len, classes), 1)
        item.attrs["classes"] = np.array(classes, dtype=h5py.string_dtype(length=longest))
    return len(classes)


def seal_file(file: h5py.File, file_attributes: Mapping[str, Any], number: int = FORMAT) -> None:
    """Writes the attributes of a file and the number of its format, the seal last."""
    file.attrs.update(file_attributes)
    file.attrs["hpcmtl_format"] = number
    file.flush()
    file.attrs["sealed"] = True


class ArrayWriter:
    """Writes the rows of one dataset in their order.

    Rows are kept until they fill a chunk: HDF5 would read, check and write a chunk again for each of its parts.

    Attributes:
        problem: the first invalid value in words; None while all are valid.
    """

    def __init__(
        self,
        file: h5py.File,
        name: str,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        attributes: Mapping[str, Any] | None,
    ) -> None:
        """Creates the dataset; without `attributes` any values are allowed."""
        rows = rows_per_chunk(shape, dtype)
        size = int(np.prod(shape))
        # fletcher32: reading a chunk that was damaged later fails. An array without a value has no chunks.
        chunks: dict[str, Any] = {"chunks": (rows, *shape[1:]), "fletcher32": True} if size else {}
        self._dataset = file.create_dataset(name, shape, dtype, **chunks)
        given = _NOTHING if attributes is None else attributes
        self._dataset.attrs.update({key: value for key, value in given.items() if key != "classes"})
        self._checked = attributes is not None
        self._classes, self._chunk, self._dtype = write_classes(self._dataset, given.get("classes", ())), rows, dtype
        self._missing = declared(given)
        self._waiting: list[NDArray[Any]] = []
        self._count, self._written, self._checksum = 0, 0, 0
        self.problem: str | None = None

    def add(self, rows: NDArray[Any]) -> None:
        """Takes further rows; after a problem they are ignored."""
        self._waiting.append(rows)
        self._count += len(rows)
        while self.problem is None and self._count >= self._chunk:
            self._write(self._chunk)

    def _write(self, count: int) -> None:
        """Writes some of the rows that wait."""
        parts, missing = [], count
        while missing:
            first = self._waiting[0]
            parts.append(first[:missing])
            if len(first) <= missing:
                self._waiting.pop(0)
            else:
                self._waiting[0] = first[missing:]
            missing -= len(parts[-1])
        whole = parts[0] if len(parts) == 1 else np.concatenate(parts)
        block = np.ascontiguousarray(whole, dtype=self._dtype)
        samples = self._written + np.arange(count)
        self.problem = value_problem(block, samples, self._classes, self._missing) if self._checked else None
        if self.problem is None:
            self._dataset[self._written : self._written + count] = block
            self._checksum = checksum_of(block, self._checksum)
            self._written += count
            self._count -= count

    def close(self) -> None:
        """Writes the rows that wait, and the checksum."""
        if self.problem is None and self._count and self._dataset.size:
            self._write(self._count)
        if self.problem is None and self._dataset.size and self._written != len(self._dataset):
            self.problem = f"{self._written} samples came, {len(self._dataset)} were announced"
        self._dataset.attrs["checksum"] = np.uint32(self._checksum)

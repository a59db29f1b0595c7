"""Writing of one ragged dataset: the values of all samples, and the offsets at which samples begin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.data.array_writer import checksum_of, write_classes
from hpcmtl.data.contract import rows_per_chunk, value_problem
from hpcmtl.data.missing import declared
from hpcmtl.data.ragged_dataset import OFFSETS, VALUES
from hpcmtl.data.sequences import joined, offsets_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    import h5py

    from hpcmtl.arrays import Ints
    from hpcmtl.data.sequences import Sequences

_MANY = 1 << 24  # the number of values is not known before all have come: chunks are as those of many


class RaggedWriter:
    """Writes the samples of one ragged dataset in their order, as `ArrayWriter` does those of one length.

    Samples are kept until their values fill a chunk.

    Attributes:
        problem: the first invalid value in words; None while all are valid.
    """

    def __init__(
        self,
        file: h5py.File,
        name: str,
        samples: int,
        *,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        attributes: Mapping[str, Any] | None,
    ) -> None:
        """Creates the group of the dataset; without `attributes` any values are allowed.

        Args:
            file: the file.
            name: name of the dataset.
            samples: number of samples.
            shape: shape of one value.
            dtype: type of the values.
            attributes: attributes of the dataset; None if its values need no check.
        """
        given: Mapping[str, Any] = {} if attributes is None else attributes
        self._chunk = rows_per_chunk((_MANY, *shape), dtype)
        group = file.create_group(name)
        chunks: dict[str, Any] = {"chunks": (self._chunk, *shape), "fletcher32": True}
        self._values = group.create_dataset(VALUES, (0, *shape), dtype, maxshape=(None, *shape), **chunks)
        self._attrs = group.attrs
        self._attrs.update({key: each for key, each in given.items() if key != "classes"})
        self._classes = write_classes(group, given.get("classes", ()))
        self._group, self._samples, self._missing = group, samples, declared(given)
        self._checked = attributes is not None
        self._waiting: list[Sequences] = []
        self._count, self._written, self._checksum = 0, 0, 0
        self._lengths: list[Ints] = []
        self.problem: str | None = None

    def add(self, rows: Sequences) -> None:
        """Takes further samples; after a problem they are ignored."""
        self._waiting.append(rows)
        self._count += len(rows.values)
        if self.problem is None and self._count >= self._chunk:
            self._write()

    def _write(self) -> None:
        """Writes the samples that wait."""
        rows = joined(self._waiting)
        self._waiting.clear()
        values, lengths = np.ascontiguousarray(rows.values, dtype=self._values.dtype), rows.lengths
        if self._checked:
            samples = np.repeat(self._written + np.arange(len(lengths)), lengths)
            self.problem = value_problem(values, samples, self._classes, self._missing)
        if self.problem is not None:
            return
        start = len(self._values)
        self._values.resize(start + len(values), axis=0)
        self._values[start:] = values
        self._checksum = checksum_of(values, self._checksum)
        self._lengths.append(lengths)
        self._written += len(lengths)
        self._count = 0

    def close(self) -> None:
        """Writes the samples that wait, the offsets and the checksums."""
        if self.problem is None and self._waiting:
            self._write()
        if self.problem is None and self._written != self._samples:
            self.problem = f"{self._written} samples came, {self._samples} were announced"
        if self.problem is None and not len(self._values):
            self.problem = "all samples are empty; give at least one value"
        if self.problem is not None:
            return
        lengths = np.concatenate(self._lengths)
        offsets = offsets_of(lengths)
        rows = rows_per_chunk(offsets.shape, offsets.dtype)
        stored = self._group.create_dataset(OFFSETS, data=offsets, chunks=(rows,), fletcher32=True)
        stored.attrs["checksum"] = np.uint32(checksum_of(lengths))
        self._attrs["checksum"] = np.uint32(checksum_of(lengths, self._checksum))


def write_sequences(file: h5py.File, name: str, rows: Sequences, attributes: Mapping[str, Any] | None) -> str | None:
    """Writes a whole ragged dataset, and returns the first invalid value in words; None if all are valid."""
    writer = RaggedWriter(file, name, len(rows), shape=rows.shape[2:], dtype=rows.dtype, attributes=attributes)
    writer.add(rows)
    writer.close()
    return writer.problem

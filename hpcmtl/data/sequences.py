"""Samples of different lengths in memory: the values of all samples behind each other, and where each begins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hpcmtl.arrays import Bools, Ints

LENGTH = "_length"
"""End of the name under which the lengths of a ragged dataset are read, as one whole number a sample."""


def offsets_problem(offsets: NDArray[Any], values: int) -> str | None:
    """Returns what is wrong with the offsets of some number of values, as the rest of a sentence; None if nothing is.

    Args:
        offsets: (samples + 1,) place of the first value of each sample, and of the end of the last one.
        values: number of values.
    """
    if offsets.ndim != 1 or offsets.dtype.kind not in "iu" or len(offsets) < 1:
        return f"offsets of type {offsets.dtype} and shape {offsets.shape}; give samples + 1 whole numbers"
    if offsets[0] != 0:
        return f"the first offset is {offsets[0]}, not 0"
    falling = np.flatnonzero(offsets[1:] < offsets[:-1])
    if len(falling):
        at = int(falling[0])
        return f"the offset after sample {at} is {offsets[at + 1]}, less than the one before it, {offsets[at]}"
    if offsets[-1] != values:
        return f"the last offset is {offsets[-1]}, but there are {values} values"
    return None


def offsets_of(lengths: NDArray[Any]) -> Ints:
    """Returns the offsets of samples of some lengths."""
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64)


def within(lengths: Ints, width: int) -> Bools:
    """Returns which of the first `width` places of each sample hold a value of it, (n, width)."""
    return np.asarray(np.arange(width) < lengths[:, None])


def padded(values: NDArray[Any], lengths: Ints, width: int) -> NDArray[Any]:
    """Returns samples (n, width, ...) from their values behind each other; places behind the end of a sample are 0."""
    rows = np.zeros((len(lengths), width, *values.shape[1:]), values.dtype)
    rows[within(lengths, width)] = values
    return rows


@dataclass(frozen=True, eq=False)
class Sequences:
    """Samples of different lengths, such as sentences: what a ragged dataset of a data file holds.

    It has the attributes of the array (samples, longest, ...) that its samples make with padding.

    Attributes:
        values: (values of all samples, ...) integers or floats.
        offsets: (samples + 1,) place of the first value of each sample, and of the end of the last one.
    """

    values: NDArray[Any]
    offsets: Ints

    def __post_init__(self) -> None:
        """Refuses offsets that do not belong to the values."""
        problem = offsets_problem(self.offsets, len(self.values))
        if problem is not None:
            raise ValueError(problem)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> Ints:
        """Number of values of each sample."""
        return np.diff(self.offsets).astype(np.int64)

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of samples, length of the longest, shape of one value."""
        return len(self), int(self.lengths.max(initial=0)), *self.values.shape[1:]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        return self.values.dtype

    @property
    def ndim(self) -> int:
        """Number of axes of `shape`."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of values, without padding."""
        return self.values.size

    def __getitem__(self, rows: slice) -> Sequences:
        """Returns consecutive samples, see `part`."""
        start, stop, _ = rows.indices(len(self))
        return self.part(start, max(start, stop))

    def part(self, start: int, stop: int) -> Sequences:
        """Returns consecutive samples; a view."""
        first, last = int(self.offsets[start]), int(self.offsets[stop])
        return Sequences(self.values[first:last], self.offsets[start : stop + 1] - first)

    def padded(self) -> NDArray[Any]:
        """Returns the samples as one array of `shape`; places behind the end of a sample are 0."""
        return padded(self.values, self.lengths, self.shape[1])


SampleRows = NDArray[Any] | Sequences
"""Rows of one dataset: samples of one length, or of different ones."""


def sequences_of(samples: Iterable[Any]) -> Sequences:
    """Returns samples of different lengths, for `write_dataset_file` and `seal`.

    Args:
        samples: one array or list (length, ...) for each sample; all but the first axis are alike.

    Raises:
        ValueError: a sample is no such array, or of another shape than the first.
    """
    arrays = [np.asarray(each) for each in samples]
    full = [each for each in arrays if each.size]
    for number, each in enumerate(arrays):
        if each.ndim == 0 or each.dtype.kind not in "iuf":
            raise ValueError(f"sample {number} is {each!r}; give an array (length, ...) of numbers")
        if each.size and each.shape[1:] != full[0].shape[1:]:
            text = f"sample {number} has values of shape {each.shape[1:]}, others of shape {full[0].shape[1:]}"
            raise ValueError(f"{text}; they may differ in length alone")
    lengths = np.array([len(each) if each.size else 0 for each in arrays], np.int64)
    values = np.concatenate(full) if full else np.empty(0, np.float32)
    return Sequences(values, offsets_of(lengths))


def joined(parts: Iterable[Sequences]) -> Sequences:
    """Returns the samples of several parts, of which there is at least one, one after the other."""
    given = list(parts)
    lengths = np.concatenate([each.lengths for each in given])
    return Sequences(np.concatenate([each.values for each in given]), offsets_of(lengths))

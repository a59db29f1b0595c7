"""The one pass that reads every value: what is unfit is refused, and what was seen is summarised for later checks."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hpcmtl.data.array_writer import checksum_of
from hpcmtl.data.contract import CHUNK_BYTES, SPLIT, rows_per_chunk, value_problem
from hpcmtl.data.hdf5 import class_names, file_version
from hpcmtl.data.open_file import CACHE_BYTES, find_dataset, naming_damage, open_sealed
from hpcmtl.errors import InputError, Problem

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable

    import h5py
    from numpy.typing import NDArray

_log = logging.getLogger(__name__)

FLOAT32_BITS = 24
"""Binary digits that a float32 holds."""


class MergedValues(NamedTuple):
    """Positions of a sample whose values float32 cannot tell apart well.

    Attributes:
        low, high: extremes of the values at the first such position.
        positions: number of such positions.
        varying: number of all positions whose values differ between samples.
    """

    low: float
    high: float
    positions: int
    varying: int


@dataclass(kw_only=True)
class ValueSummary:
    """Summarises an array after a pass over it; numbers of samples are those of the first such sample.

    Attributes:
        dtype: type of the values.
        shape: shape of one sample.
        scale: factor of the values when a network reads them; 1 for none.
        smallest, largest: (sample, value) of the extremes; None without a value.
        not_finite: sample with a NaN or Inf.
        fraction: (sample, value) of a value that is no whole number.
        rounded: (sample, value) of a value that float32 does not hold exactly.
        spread: for each position in a sample the smallest and largest value, and whether float32 rounds some value;
            None for types whose values float32 holds.
    """

    dtype: np.dtype[Any]
    shape: tuple[int, ...] = ()
    scale: float = 1.0
    smallest: tuple[int, Any] | None = None
    largest: tuple[int, Any] | None = None
    not_finite: int | None = None
    fraction: tuple[int, Any] | None = None
    rounded: tuple[int, Any] | None = None
    spread: tuple[NDArray[Any], NDArray[Any], NDArray[np.bool_]] | None = field(default=None, repr=False)

    def add(self, block: NDArray[Any], start: int) -> None:
        """Adds a block of values whose first sample has the number `start`."""
        if not block.size or block.dtype.kind not in "iuf":
            return
        if block.dtype.kind == "f":
            finite = np.isfinite(block)
            if not finite.all():
                self.not_finite = start + _first(~finite) if self.not_finite is None else self.not_finite
                block = np.where(finite, block, block.dtype.type(0))
            if self.fraction is None and (fractions := block != np.trunc(block)).any():
                self.fraction = self._at(block, fractions, start)
        low, high = block.min(), block.max()
        if self.smallest is None or low < self.smallest[1]:
            self.smallest = self._at(block, block == low, start)
        if self.largest is None or high > self.largest[1]:
            self.largest = self._at(block, block == high, start)
        if not np.can_cast(block.dtype, np.float32, "safe"):
            self._add_rounding(block, start)

    def _add_rounding(self, block: NDArray[Any], start: int) -> None:
        low, high, bent = block.min(axis=0), block.max(axis=0), np.zeros(block.shape[1:], np.bool_)
        exact = _exact(block)
        if exact is not None:
            with np.errstate(over="ignore"):
                inexact = block.astype(np.float32).astype(exact) != block
            bent = inexact.any(axis=0)
            if self.rounded is None and inexact.any():
                self.rounded = self._at(block, inexact, start)
        if self.spread is not None:
            low, high = np.minimum(low, self.spread[0]), np.maximum(high, self.spread[1])
            bent = bent | self.spread[2]
        self.spread = low, high, bent

    @staticmethod
    def _at(block: NDArray[Any], where: NDArray[Any], start: int) -> tuple[int, Any]:
        place = tuple(np.argwhere(where)[0]) if where.ndim else ()
        return start + int(place[0]), block[place].item()

    @property
    def extremes(self) -> tuple[tuple[int, Any], ...]:
        """The smallest and the largest value, each with its sample, as a network reads them; none without a value."""
        if self.smallest is None or self.largest is None:
            return ()
        if self.scale == 1.0:
            return self.smallest, self.largest
        scaled = ((sample, value * self.scale) for sample, value in (self.smallest, self.largest))
        return tuple(sorted(scaled, key=lambda each: each[1]))

    @property
    def merged(self) -> MergedValues | None:
        """The positions at which float32 merges values; None without. Numbers that are 0 in float32 do not count.

        They do where nothing else is left.
        """
        if self.rounded is None or self.spread is None:
            return None
        low, high, bent = (np.atleast_1d(each).astype(np.float64) for each in self.spread)
        size = np.maximum(np.abs(low), np.abs(high))
        # Differences below 1e-12 of the values are rounding errors of the float64 numbers themselves.
        varying = high - low > 1e-12 * size
        few = varying & (bent > 0) & (high - low < LEVELS * np.maximum(size * 2.0**-FLOAT32_BITS, _SMALLEST_STEP))
        if (few < varying).any():
            few &= size >= _SMALLEST_NORMAL
        if not few.any():
            return None
        place = tuple(np.argwhere(few)[0])
        return MergedValues(float(low[place]), float(high[place]), int(few.sum()), int(varying.sum()))


LEVELS = 1024
"""Numbers that float32 must tell apart between the smallest and the largest value."""
_SMALLEST_STEP = float(np.finfo(np.float32).smallest_subnormal)
_SMALLEST_NORMAL = float(np.finfo(np.float32).smallest_normal)


def _exact(block: NDArray[Any]) -> Any:
    """Returns a type in which values and their float32 can be compared; None if float32 holds all of them."""
    if block.dtype.kind == "f":
        return block.dtype
    size = max(abs(int(block.min())), abs(int(block.max())))
    if size <= 1 << FLOAT32_BITS:
        return None
    return np.float64 if size <= 1 << 53 else object


def _first(where: NDArray[Any]) -> int:
    return int(np.argwhere(where)[0][0])


def summarise(array: NDArray[Any]) -> ValueSummary:
    """Returns the summary of an array in memory."""
    summary = ValueSummary(dtype=array.dtype, shape=array.shape[1:])
    rows = rows_per_chunk(array.shape, array.dtype)
    for start in range(0, len(array), rows):
        summary.add(array[start : start + rows], start)
    return summary


def check_finite(path: str | os.PathLike[str], names: Iterable[str]) -> dict[str, ValueSummary]:
    """Reads every value of the named datasets once, block by block, and refuses data unfit for training.

    Returns:
        Name -> summary of the values.

    Raises:
        InputError: NaN, Inf, labels outside the named classes, values that do not match the stored checksum, unreadable
            chunks; one problem per dataset.
    """
    return _passed(path, names, fit=True)


def check_intact(path: str | os.PathLike[str], names: Iterable[str]) -> dict[str, ValueSummary]:
    """Reads every value as `check_finite` does, but refuses damage alone: python tasks may publish any value."""
    return _passed(path, names, fit=False)


def summary_of(path: Path, name: str) -> ValueSummary:
    """Returns the summary of one dataset; a file that has not changed since is not read again."""
    return _summary(path, name, file_version(path))


@lru_cache(maxsize=64)
def _summary(path: Path, name: str, version: tuple[int, ...]) -> ValueSummary:  # noqa: ARG001 - a part of the key
    return check_intact(path, [name])[name]


def _passed(path: str | os.PathLike[str], names: Iterable[str], *, fit: bool) -> dict[str, ValueSummary]:
    summaries, problems = pass_over(path, names, fit=fit)
    if problems:
        raise InputError(problems)
    return summaries


def _nothing(size: int) -> None:
    """Takes the size of a block, of which nothing is told."""


def pass_over(
    path: str | os.PathLike[str],
    names: Iterable[str],
    *,
    fit: bool = True,
    after_block: Callable[[int], None] = _nothing,
) -> tuple[dict[str, ValueSummary], list[Problem]]:
    """Reads every value as `check_finite` does; returns the summaries of sound datasets, and the others' problems.

    Args:
        path: the file.
        names: the datasets.
        fit: true to refuse values that are unfit for training.
        after_block: callback with the number of bytes of each block that was read.

    Raises:
        InputError: the file cannot be opened.
    """
    path = Path(path)
    summaries: dict[str, ValueSummary] = {}
    problems: list[Problem] = []
    with open_sealed(path) as file:
        for name in names:
            try:
                dataset = find_dataset(file, path, name)
                with naming_damage(path, name, dataset):
                    summary, wrong = _read(path, name, dataset, fit=fit, after_block=after_block)
            except InputError as error:  # every dataset reports its problems
                problems += error.problems
            else:
                if wrong:
                    problems.append(Problem(f"{path}: {name}", wrong))
                else:
                    summaries[name] = summary
    return summaries, problems


def _read(
    path: Path, name: str, dataset: h5py.Dataset, *, fit: bool, after_block: Callable[[int], None]
) -> tuple[ValueSummary, str | None]:
    """Returns the summary of a dataset, and what is wrong with its values."""
    _warn_of_chunks(path, name, dataset)
    summary = ValueSummary(dtype=dataset.dtype, shape=dataset.shape[1:], scale=float(dataset.attrs.get("scale", 1.0)))
    rows = rows_per_chunk(dataset.shape, dataset.dtype)
    classes = class_names(dataset) or ()
    checksum = 0
    for start in range(0, len(dataset) if dataset.size else 0, rows):
        block = np.ascontiguousarray(dataset[start : start + rows])
        wrong = value_problem(block, start, len(classes)) if fit else None
        if wrong:
            return summary, wrong
        checksum = checksum_of(block, checksum)
        if name != SPLIT:
            summary.add(block, start)
        after_block(block.nbytes)
    stored = dataset.attrs.get("checksum")
    if stored is None:
        return summary, "has no checksum, so a change of its values cannot be noticed; write it by write_dataset_file"
    if checksum != stored:
        return summary, "values do not match their checksum: changed after the file was sealed; make or copy it again"
    return summary, None


def _warn_of_chunks(path: Path, name: str, dataset: h5py.Dataset) -> None:
    """Warns of chunks that HDF5 reads and unpacks again and again, since they do not fit into its cache."""
    if dataset.chunks is None:
        return
    # Chunks that split samples, such as h5py's own choice, are needed together: all that have samples of a block.
    beside = math.prod(-(-length // chunk) for length, chunk in zip(dataset.shape[1:], dataset.chunks[1:], strict=True))
    size = math.prod(dataset.chunks) * dataset.dtype.itemsize * beside
    if size > CACHE_BYTES and dataset.chunks[0] > rows_per_chunk(dataset.shape, dataset.dtype):
        who = "each chunk has" if beside == 1 else f"the {beside} chunks of each sample have"
        what = f"{size / 2**20:.0f} MiB and must be read again for each block of samples"
        times = f"about {size / CHUNK_BYTES:.0f} times the work"
        remedy = "write the file by write_dataset_file, in chunks of 1 MiB"
        _log.warning("%s: %s: %s %s, which is %s; %s", path, name, who, what, times, remedy)

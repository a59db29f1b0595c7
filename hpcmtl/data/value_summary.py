"""Summary of the values of an array, from one pass over it: extremes, fractions, values that float32 does not hold."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hpcmtl.data.contract import rows_per_chunk
from hpcmtl.data.missing import is_known

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray

    from hpcmtl.arrays import Ints
    from hpcmtl.data.missing import Known
    from hpcmtl.networks.objective import Missing

    Spread = tuple[NDArray[Any], NDArray[Any], NDArray[np.bool_]]

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
        partly: sample some of whose values are missing, and others known.
        absent: sample some or all of whose values are missing.
        spread: for each position in a sample the smallest and largest value, and whether float32 rounds some value;
            None for types whose values float32 holds.
        known: number that stands for a missing value -> summary of all other values.
        declared: numbers among these by which the file itself marks missing values.
    """

    dtype: np.dtype[Any]
    shape: tuple[int, ...] = ()
    scale: float = 1.0
    smallest: tuple[int, Any] | None = None
    largest: tuple[int, Any] | None = None
    not_finite: int | None = None
    fraction: tuple[int, Any] | None = None
    rounded: tuple[int, Any] | None = None
    partly: int | None = None
    absent: int | None = None
    spread: Spread | None = field(default=None, repr=False)
    known: dict[Missing, ValueSummary] = field(default_factory=dict, repr=False)
    declared: frozenset[Missing] = frozenset()

    def without(self, missing: Missing | None) -> ValueSummary:
        """Returns the summary without the numbers that stand for missing values, if it was asked for one."""
        return self if missing is None else self.known.get(missing, self)

    def add(self, block: NDArray[Any], start: int) -> None:
        """Adds a block of values whose first sample has the number `start`."""
        self.add_of(block, np.arange(start, start + len(block)))

    def add_of(self, block: NDArray[Any], samples: Ints) -> None:
        """Adds a block of values (n, ...) that belong to samples with some numbers (n,), of which some may be equal."""
        if not len(block):  # all samples of a ragged block may be empty
            return
        for missing, summary in self.known.items():
            read = block if self.scale == 1.0 else block * np.float32(self.scale)
            summary._add_known(block, is_known(read, missing), samples)  # noqa: SLF001 - of this class
        self._add(block, samples)

    def _add_known(self, block: NDArray[Any], known: Known, samples: Ints) -> None:
        """Adds the known values of a block; of all positions as one, where samples have known and missing values."""
        rows = known.reshape(len(block), -1)
        some = rows.any(axis=1)
        whole = rows.all(axis=1)
        partly = some & ~whole
        if self.absent is None and not whole.all():
            self.absent = int(samples[_first(~whole)])
        if self.partly is None and partly.any():
            self.partly = int(samples[_first(partly)])
        which = known if partly.any() else some
        self._add(block[which], samples[np.nonzero(which)[0]])

    def _add(self, block: NDArray[Any], samples: Ints) -> None:
        if not block.size or block.dtype.kind not in "iuf":
            return
        if block.dtype.kind == "f":
            finite = np.isfinite(block)
            if not finite.all():
                self.not_finite = int(samples[_first(~finite)]) if self.not_finite is None else self.not_finite
                block = np.where(finite, block, block.dtype.type(0))
            if self.fraction is None and (fractions := block != np.trunc(block)).any():
                self.fraction = self._at(block, fractions, samples)
        low, high = block.min(), block.max()
        if self.smallest is None or low < self.smallest[1]:
            self.smallest = self._at(block, block == low, samples)
        if self.largest is None or high > self.largest[1]:
            self.largest = self._at(block, block == high, samples)
        if not np.can_cast(block.dtype, np.float32, "safe"):
            self._add_rounding(block, samples)

    def _add_rounding(self, block: NDArray[Any], samples: Ints) -> None:
        low, high, bent = block.min(axis=0), block.max(axis=0), np.zeros(block.shape[1:], np.bool_)
        exact = _exact(block)
        if exact is not None:
            with np.errstate(over="ignore"):
                inexact = block.astype(np.float32).astype(exact) != block
            bent = inexact.any(axis=0)
            if self.rounded is None and inexact.any():
                self.rounded = self._at(block, inexact, samples)
        if self.spread is not None:
            low, high = np.minimum(low, self.spread[0]), np.maximum(high, self.spread[1])
            bent = bent | self.spread[2]
        self.spread = low, high, bent

    @staticmethod
    def _at(block: NDArray[Any], where: NDArray[Any], samples: Ints) -> tuple[int, Any]:
        place = tuple(np.argwhere(where)[0]) if where.ndim else ()
        return int(samples[place[0]]), block[place].item()

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


def empty_summary(
    dtype: np.dtype[Any], shape: tuple[int, ...], missing: Collection[Missing] = (), scale: float = 1.0
) -> ValueSummary:
    """Returns the summary of no value, with one for each number that may stand for a missing value."""
    known = {each: ValueSummary(dtype=dtype, shape=shape, scale=scale) for each in missing}
    return ValueSummary(dtype=dtype, shape=shape, scale=scale, known=known)


def summarise(array: NDArray[Any], missing: Collection[Missing] = ()) -> ValueSummary:
    """Returns the summary of an array in memory, with one for each number that may stand for a missing value."""
    summary = empty_summary(array.dtype, array.shape[1:], missing)
    rows = rows_per_chunk(array.shape, array.dtype)
    for start in range(0, len(array), rows):
        summary.add(array[start : start + rows], start)
    return summary


def joined(first: ValueSummary, second: ValueSummary) -> ValueSummary:
    """Returns the summary of an array from those of its first and of its other samples."""
    smallest, largest = first.smallest, first.largest
    if smallest is None or (second.smallest is not None and second.smallest[1] < smallest[1]):
        smallest = second.smallest
    if largest is None or (second.largest is not None and second.largest[1] > largest[1]):
        largest = second.largest
    spread = first.spread or second.spread
    if first.spread is not None and second.spread is not None:
        (low, high, bent), (other_low, other_high, other_bent) = first.spread, second.spread
        spread = np.minimum(low, other_low), np.maximum(high, other_high), bent | other_bent
    return ValueSummary(
        dtype=first.dtype,
        shape=first.shape,
        scale=first.scale,
        smallest=smallest,
        largest=largest,
        not_finite=second.not_finite if first.not_finite is None else first.not_finite,
        fraction=first.fraction or second.fraction,
        rounded=first.rounded or second.rounded,
        partly=second.partly if first.partly is None else first.partly,
        absent=second.absent if first.absent is None else first.absent,
        declared=first.declared,
        spread=spread,
        known={each: joined(summary, second.known[each]) for each, summary in first.known.items()},
    )

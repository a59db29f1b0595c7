"""Padding of the samples of a batch to one length, which is one of a few."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.data.sequences import within

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from hpcmtl.arrays import Ints

_SHARES = (0.5, 0.9, 0.99)
"""Shares of the samples that the first buckets hold. The longest sample of a batch decides, so that they are large."""


def default_buckets(lengths: Ints) -> tuple[int, ...]:
    """Returns at most three lengths to which batches are padded, from the lengths of samples; of at least one."""
    found = np.quantile(lengths, _SHARES, method="higher").astype(int).tolist()
    return tuple(sorted({max(each, 1) for each in found}))


@dataclass(frozen=True, eq=False)
class Padding:
    """Tells to which length the samples of a batch are padded.

    Attributes:
        lengths: (samples,) length of each sample of a file.
        buckets: lengths to which batches are padded, ascending; the last one is that of the longest of all samples.
    """

    lengths: Ints
    buckets: tuple[int, ...]

    def width(self, together: Ints) -> int:
        """Returns the length to which a batch of samples with some numbers is padded: the smallest bucket for them."""
        longest = int(self.lengths[together].max(initial=0))
        return self.buckets[int(np.searchsorted(self.buckets, longest))]

    def shortened(self, rows: NDArray[Any], numbers: Ints, together: Ints) -> NDArray[Any]:
        """Returns rows (n, longest, ...) with the length of their batch, and 0 behind the end of each sample.

        Args:
            rows: rows with any values behind the end of a sample.
            numbers: (n,) their sample numbers.
            together: sample numbers of the whole batch.
        """
        width = self.width(together)
        real = within(self.lengths[numbers], width)
        made = rows[:, :width].copy()
        made[~real] = 0
        return made

    def real(self, numbers: Ints, width: int) -> NDArray[np.bool_]:
        """Returns which of the first `width` places of samples with some numbers hold a value of theirs, (n, width)."""
        return within(self.lengths[numbers], width)


def make_padding(lengths: Ints, buckets: Sequence[int]) -> Padding:
    """Returns the padding for samples of some lengths; buckets that are too long for all of them are left out."""
    longest = max(int(lengths.max(initial=0)), 1)
    return Padding(lengths, (*sorted({each for each in buckets if each < longest}), longest))

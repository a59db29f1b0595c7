"""Rows of a split in memory: their layout in a segment that the ranks of a node share, and their reading in parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpcmtl.data.shared_memory import SharedSegment, aligned

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np

    from hpcmtl.arrays import Arrays, Ints
    from hpcmtl.data.reader import ArrayReader


@dataclass(frozen=True, slots=True)
class SplitLayout:
    """Says where the rows of each source lie in a segment; equal on all ranks.

    Attributes:
        block: samples per block of the files; the order of an epoch depends on it.
        places: key -> offset, shape and type of the rows.
        size: bytes of the segment.
    """

    block: int
    places: Mapping[str, tuple[int, tuple[int, ...], np.dtype[Any]]]
    size: int

    def arrays(self, segment: SharedSegment) -> Arrays:
        """Returns the rows in a segment, by key."""
        return {key: segment.array(*place) for key, place in self.places.items()}


def layout_of(readers: Mapping[str, ArrayReader], samples: int) -> SplitLayout:
    """Returns the layout of a split with a number of samples."""
    places, end = {}, 0
    for key, reader in readers.items():
        places[key] = (end, (samples, *reader.shape), reader.dtype)
        end = aligned(end + samples * reader.sample_bytes)
    return SplitLayout(min(reader.block for reader in readers.values()), places, end)


def read_rows(
    readers: Mapping[str, ArrayReader],
    numbers: Ints,
    rows: Arrays,
    part: slice,
    check_open: Callable[[], None] = lambda: None,
) -> None:
    """Writes a part of the rows of a split to their places.

    Args:
        readers: readers by key.
        numbers: ascending sample numbers of the split.
        rows: key -> rows of the whole split.
        part: part to read.
        check_open: callback between reads; it may raise to end a long read.
    """
    for key, reader in readers.items():
        reader.rows(numbers[part], check_open, rows[key][part])

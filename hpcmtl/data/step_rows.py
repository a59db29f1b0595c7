"""Rows of the steps of an epoch: from arrays in memory, or from one window of blocks after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hpcmtl.data.blocks import windows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from hpcmtl.arrays import Arrays, Ints
    from hpcmtl.data.reader import ArrayReader

    # (order of an epoch, positions of each step in it) -> sample numbers and rows of each step
    RowsOf = Callable[[Ints, list[Ints]], Iterator[tuple[Ints, Arrays]]]


def from_memory(loaded: Arrays, indices: Ints, order: Ints, positions: list[Ints]) -> Iterator[tuple[Ints, Arrays]]:
    """Yields the rows of each step from arrays that hold the whole split."""
    for wanted in (order[each] for each in positions):
        places = np.searchsorted(indices, wanted)
        yield wanted, {key: array[places] for key, array in loaded.items()}


def from_windows(
    readers: Mapping[str, ArrayReader],
    block: int,
    check_open: Callable[[], None],
    order: Ints,
    positions: list[Ints],
) -> Iterator[tuple[Ints, Arrays]]:
    """Yields the rows of each step; reads this rank's part of one window of blocks at a time.

    Steps do not end at window boundaries: rows of a window are held until the step that needs them is complete.

    Args:
        readers: readers by key.
        block: samples per block.
        check_open: callback between reads.
        order: sample numbers of the epoch.
        positions: positions of each step in `order`.
    """
    numbers = [order[each] for each in positions]
    window = windows(order, block)[np.concatenate(positions)]
    parts = iter(np.split(np.concatenate(numbers), np.flatnonzero(np.diff(window)) + 1))
    in_memory, available = {key: reader.rows(numbers[0][:0], check_open) for key, reader in readers.items()}, 0
    for wanted in numbers:
        while available < len(wanted):
            part = next(parts)
            for key, reader in readers.items():
                rows = reader.rows(part, check_open)
                in_memory[key] = np.concatenate([in_memory[key], rows]) if available else rows
            available += len(part)
        yield wanted, {key: array[: len(wanted)] for key, array in in_memory.items()}
        in_memory = {key: array[len(wanted) :] for key, array in in_memory.items()}
        available -= len(wanted)

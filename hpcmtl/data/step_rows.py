"""Rows of the steps of an epoch: from arrays in memory, or from one window of blocks after the other."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import cycle
from typing import TYPE_CHECKING

import numpy as np

from hpcmtl.data.blocks import windows
from hpcmtl.data.prefetch import Prefetched

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence

    from hpcmtl.arrays import Arrays, Ints
    from hpcmtl.data.reader import ArrayReader

    # (order of an epoch, positions of each step in it) -> sample numbers and rows of each step
    RowsOf = Callable[[Ints, list[Ints]], Iterator[tuple[Ints, Arrays]]]

BLOCKS_AHEAD = 2
"""Number of blocks that are kept ready while one is in use; a block has at most 1 MiB, or one sample, an array."""


@dataclass(frozen=True, slots=True)
class _Block:
    """Holds neighbouring samples as they are stored.

    Attributes:
        places: place of each wanted sample among those of the window.
        rows: row of each wanted sample; None if all rows are wanted, each once.
        stored: rows by key, until the next block is taken.
    """

    places: Ints
    rows: Ints | None
    stored: Arrays


def from_memory(loaded: Arrays, indices: Ints, order: Ints, positions: list[Ints]) -> Iterator[tuple[Ints, Arrays]]:
    """Yields the rows of each step from arrays that hold the whole split.

    Args:
        loaded: rows of the split by key.
        indices: ascending sample numbers of these rows.
        order: sample numbers of the epoch.
        positions: positions of each step in `order`.
    """
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

    Steps do not end at window boundaries: rows of a window are held until the step that needs them is complete. A
    window has 16 blocks of at most 1 MiB an array, so that the memory is bounded; larger samples are read step by step.

    Args:
        readers: readers by key.
        block: samples per block.
        check_open: callback between reads.
        order: sample numbers of the epoch.
        positions: positions of each step in `order`.
    """
    numbers = [order[each] for each in positions]
    if block == 1:  # samples as large as blocks: each is read by itself anyway, and a window of them is large
        for wanted in numbers:
            yield wanted, {key: reader.rows(wanted, check_open) for key, reader in readers.items()}
        return
    window = windows(order, block)[np.concatenate(positions)]
    parts = np.split(np.concatenate(numbers), np.flatnonzero(np.diff(window)) + 1)
    held, available = {key: np.empty((0, *reader.shape), reader.dtype) for key, reader in readers.items()}, 0
    with Prefetched(partial(_blocks, readers, block, parts, check_open), BLOCKS_AHEAD) as blocks:
        coming = iter(parts)
        for wanted in numbers:
            while available < len(wanted):
                part = next(coming)
                rows = _window(readers, len(part), blocks, check_open)
                held = {key: np.concatenate([held[key], rows[key]]) if available else rows[key] for key in readers}
                available += len(part)
            yield wanted, {key: array[: len(wanted)] for key, array in held.items()}
            held = {key: array[len(wanted) :] for key, array in held.items()}
            available -= len(wanted)


def _window(
    readers: Mapping[str, ArrayReader], count: int, blocks: Prefetched[_Block], check_open: Callable[[], None]
) -> Arrays:
    """Returns the `count` rows of a window in the order of the training, from the blocks that come next."""
    rows = {key: np.empty((count, *reader.shape), reader.dtype) for key, reader in readers.items()}
    missing = count
    while missing:
        found = next(blocks, None)
        if found is None:
            check_open()  # raises: the thread that reads ended because the consumer closed
            raise RuntimeError(f"{missing} of {count} rows of a window were not read")
        for key, reader in readers.items():
            stored = found.stored[key]
            rows[key][found.places] = reader.delivered(stored if found.rows is None else stored[found.rows])
        missing -= len(found.places)
    return rows


def _blocks(
    readers: Mapping[str, ArrayReader],
    block: int,
    parts: Sequence[Ints],
    consumer_open: Callable[[], None],
    check_open: Callable[[], None],
) -> Generator[_Block, None, None]:
    """Yields the blocks of each window, each read once, into memory that later blocks take over.

    New memory for each block costs page faults, and is not in the caches of the core.
    """
    buffers = cycle(
        [
            {
                key: np.empty((min(block, reader.samples), *reader.shape), reader.stored_dtype)
                for key, reader in readers.items()
            }
            for _ in range(BLOCKS_AHEAD + 2)  # one more is in use, and one is being read
        ]
    )
    for numbers in parts:
        ascending = np.argsort(numbers, kind="stable")
        cuts = np.flatnonzero(np.diff(numbers[ascending] // block)) + 1
        for places, buffer in zip(np.split(ascending, cuts), buffers, strict=False):
            wanted = numbers[places]
            start, count = int(wanted[0]), int(wanted[-1]) + 1 - int(wanted[0])
            for key, reader in readers.items():
                consumer_open()
                check_open()
                reader.read_into(buffer[key][:count], start)
            stored = {key: rows[:count] for key, rows in buffer.items()}
            whole = (np.diff(wanted) == 1).all()  # then a copy is spared
            yield _Block(places, None if whole else wanted - start, stored)

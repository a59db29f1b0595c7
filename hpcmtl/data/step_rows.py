"""Rows of the steps of an epoch: from arrays in memory, or from one window of blocks after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hpcmtl.data.blocks import windows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from hpcmtl.arrays import Arrays, Ints
    from hpcmtl.data.reader import ArrayReader

    # (order of an epoch, positions of each step in it) -> sample numbers and rows of each step
    RowsOf = Callable[[Ints, list[Ints]], Iterator[tuple[Ints, Arrays]]]


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
    parts = iter(np.split(np.concatenate(numbers), np.flatnonzero(np.diff(window)) + 1))
    # The memory of a block is used again: new memory costs page faults, and is not in the caches of the core.
    buffers = {key: reader.buffer(block) for key, reader in readers.items()}
    held, available, at = dict[str, NDArray[Any]](), 0, 0
    for wanted in numbers:
        stop = at + len(wanted)
        while available < stop:
            part = next(parts)
            rows = {key: _window(reader, part, block, buffers[key], check_open) for key, reader in readers.items()}
            rest = {key: array[at:available] for key, array in held.items()}
            held = {key: np.concatenate([rest[key], array]) for key, array in rows.items()} if at < available else rows
            at, available, stop = 0, available - at + len(part), len(wanted)
        yield wanted, {key: array[at:stop] for key, array in held.items()}
        at = stop


def _window(
    reader: ArrayReader, numbers: Ints, block: int, buffer: NDArray[Any], check_open: Callable[[], None]
) -> NDArray[Any]:
    """Returns the rows of a window in the order of the training; reads each block once."""
    rows = np.empty((len(numbers), *reader.shape), reader.dtype)
    ascending = np.argsort(numbers, kind="stable")
    cuts = np.flatnonzero(np.diff(numbers[ascending] // block)) + 1
    for places in np.split(ascending, cuts):
        check_open()
        wanted = numbers[places]
        start = int(wanted[0])
        stored = buffer[: int(wanted[-1]) + 1 - start]
        reader.read_into(stored, start)
        whole = (np.diff(wanted) == 1).all()  # then a copy is spared
        rows[places] = reader.delivered(stored if whole else stored[wanted - start])
    return rows

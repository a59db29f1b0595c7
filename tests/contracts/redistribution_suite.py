"""Redistribution between groups over a real communicator: checks that are called on all of its ranks.

As a program, on the ranks of an mpirun, this file runs all of them over MPI; `exchange/test_redistribute.py` runs them
over threads as well.
"""

from __future__ import annotations

import random
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
from run_suite import run_all

from hpcmtl.exchange.redistribute import CHUNK_BYTES, ArrayRows, Block, dealt, plan_moves, redistribute

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcmtl.communicators.base import Communicator

ROWS, COLUMNS = 1003, 7


def whole(dtype: str = "f4") -> np.ndarray:
    """The array that is moved about."""
    return np.arange(ROWS * COLUMNS).astype(dtype).reshape(ROWS, COLUMNS)


def move(
    comm: Communicator, have: Sequence[Block], want: Sequence[Block], chunk_bytes: int = CHUNK_BYTES, dtype: str = "f4"
) -> None:
    """Move rows from those who have them to those who want them, and look at what came."""
    array = whole(dtype)
    mine = [ArrayRows(b.start, array[b.start : b.stop].copy()) for b in have if b.rank == comm.rank]
    into = [ArrayRows(b.start, np.zeros((b.stop - b.start, COLUMNS), array.dtype)) for b in want if b.rank == comm.rank]
    redistribute(comm, plan_moves(have, want), mine, into, chunk_bytes)

    for rows in into:
        assert np.array_equal(rows.array, array[rows.start : rows.stop])


def groups(size: int) -> list[range]:
    """All contiguous groups of a world."""
    return [range(start, stop) for start, stop in combinations(range(size + 1), 2)]


def check_any_group_to_any_other(comm: Communicator) -> None:
    """Groups of all widths, without a barrier: apart, in part the same, the same, and dealt the other way round."""
    for givers in groups(comm.size):
        for takers in groups(comm.size):
            if comm.rank in {*givers, *takers}:
                move(comm, dealt(givers, ROWS), dealt(takers, ROWS))
    backwards = range(comm.size - 1, -1, -1)
    move(comm, dealt(range(comm.size), ROWS), dealt(backwards, ROWS))


def check_uneven_and_empty_blocks(comm: Communicator) -> None:
    """Blocks of any length, none included."""
    blocks = random.Random(comm.size)
    for _ in range(20):
        layouts = []
        for _ in range(2):
            cuts = [0, *sorted(blocks.choices(range(ROWS + 1), k=comm.size - 1)), ROWS]
            layouts.append([Block(rank, *cuts[rank : rank + 2]) for rank in range(comm.size)])
        move(comm, *layouts)


def check_all_want_all(comm: Communicator) -> None:
    """Every rank of the taking group may want every row."""
    move(comm, dealt(range(comm.size), ROWS), [Block(rank, 0, ROWS) for rank in range(comm.size)])


def check_long_messages_are_cut(comm: Communicator) -> None:
    """Rows come whole in chunks that end in the middle of a row; dtypes that do not add up travel as well."""
    move(comm, dealt([0], ROWS), dealt([comm.size - 1], ROWS), chunk_bytes=1001)
    move(comm, dealt([0], ROWS), dealt(range(comm.size), ROWS), chunk_bytes=4096, dtype="?")


CHECKS = [value for name, value in list(globals().items()) if name.startswith("check_")]


if __name__ == "__main__":
    run_all(CHECKS)

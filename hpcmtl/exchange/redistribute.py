"""Redistributes an array between ranks: its rows lie on some ranks and are wanted on others.

All ranks know the blocks that are held and the blocks that are wanted. Each computes the same moves from them
(`plan_moves`, pure), so that no negotiation is needed. Rows travel as buffers, and only where they are wanted.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from hpcmtl.communicators.base import Communicator

CHUNK_BYTES = 1 << 28
"""Largest message in bytes; MPI counts in 32-bit integers, and this is well below any library's limit."""
_TAG = 32


@dataclass(frozen=True, slots=True)
class Block:
    """Rows start <= i < stop of an array, and the rank that holds or wants them.

    Attributes:
        version: version of the rows, where they may have been made more than once.
    """

    rank: int
    start: int
    stop: int
    version: int = 0


@dataclass(frozen=True, slots=True)
class Move:
    """Transfer of the rows start <= i < stop of one version from rank `source` to rank `dest`, which may be equal."""

    source: int
    dest: int
    start: int
    stop: int
    version: int = 0


@dataclass(frozen=True, slots=True)
class ArrayRows:
    """Some rows of an array as they lie in memory: `array[0]` is row `start`."""

    start: int
    array: np.ndarray[Any, Any]

    @property
    def stop(self) -> int:
        """Number of the row after the last one."""
        return self.start + len(self.array)


def dealt(ranks: Sequence[int], rows: int, version: int = 0) -> tuple[Block, ...]:
    """Divides rows into contiguous blocks whose sizes differ by at most one row, as `data.shard` does."""
    count = len(ranks)
    return tuple(Block(rank, rows * i // count, rows * (i + 1) // count, version) for i, rank in enumerate(ranks))


def plan_moves(have: Iterable[Block], want: Iterable[Block]) -> tuple[Move, ...]:
    """Computes the transfers that bring every wanted row to its rank once.

    Args:
        have: blocks that are held. A rank that wants rows which it holds itself keeps its own.
        want: blocks that are wanted; several ranks may want the same rows.

    Returns:
        The moves in the order of `want`.

    Raises:
        ValueError: no rank holds a wanted row.
    """
    ordered = sorted((block for block in have if block.start < block.stop), key=lambda block: (block.start, block.stop))
    reach = [*accumulate((block.stop for block in ordered), max)]
    own: dict[int, list[Block]] = {}
    for block in ordered:
        own.setdefault(block.rank, []).append(block)
    moves: list[Move] = []
    for wanted in want:
        at = wanted.start
        for kept in own.get(wanted.rank, []):
            start, stop = max(at, kept.start), min(kept.stop, wanted.stop)
            if start < stop:
                moves += _from_others(ordered, reach, Block(wanted.rank, at, start))
                moves.append(Move(wanted.rank, wanted.rank, start, stop, kept.version))
                at = stop
        moves += _from_others(ordered, reach, Block(wanted.rank, at, wanted.stop))
    return tuple(moves)


def _from_others(ordered: Sequence[Block], reach: Sequence[int], wanted: Block) -> Iterator[Move]:
    """Yields the moves that bring one block.

    Args:
        ordered: held blocks by their first row.
        reach: for each block the largest `stop` up to it; a bisection in it finds the first useful block.
        wanted: the block.
    """
    at = wanted.start
    for index in range(bisect_right(reach, at), len(ordered)):
        block = ordered[index]
        if at >= wanted.stop or block.start > at:
            break
        if block.stop > at:
            stop = min(block.stop, wanted.stop)
            yield Move(block.rank, wanted.rank, at, stop, block.version)
            at = stop
    if at < wanted.stop:
        raise ValueError(f"rank {wanted.rank} wants the rows {at} to {wanted.stop - 1}: no rank has row {at}")


def redistribute(
    comm: Communicator,
    moves: Sequence[Move],
    mine: Sequence[ArrayRows],
    into: Sequence[ArrayRows],
    chunk_bytes: int = CHUNK_BYTES,
) -> None:
    """Transfers rows; every rank that a move names calls it with the same `moves`, other ranks need not.

    Args:
        comm: communicator whose ranks the moves name.
        moves: transfers of `plan_moves`.
        mine: rows that this rank holds, contiguous in memory; they are read until the call returns.
        into: memory for the rows that this rank wants, contiguous; dtype and shape of a row are equal on all ranks.
        chunk_bytes: largest size of a message in bytes.

    Raises:
        ValueError: the rows of a move are not in one piece of memory on this rank.
    """
    receiving = [
        comm.Irecv(part, move.source, _TAG)
        for move in moves
        if move.dest == comm.rank != move.source
        for part in _parts(into, move, chunk_bytes)
    ]
    sending = [
        comm.Isend(part, move.dest, _TAG)
        for move in moves
        if move.source == comm.rank != move.dest
        for part in _parts(mine, move, chunk_bytes)
    ]
    for move in moves:
        if move.source == move.dest == comm.rank:
            for target, part in zip(_parts(into, move), _parts(mine, move), strict=True):
                target[...] = part
    for receive in receiving:
        receive.wait()
    for send in sending:
        send.wait()


def in_chunks(array: np.ndarray[Any, Any], chunk_bytes: int = CHUNK_BYTES) -> Iterator[np.ndarray[Any, Any]]:
    """Yields the bytes of a contiguous array as uint8 views of at most `chunk_bytes`.

    Raises:
        ValueError: the array is not contiguous; what is written to its copy would be lost.
    """
    if not array.flags.c_contiguous:
        raise ValueError("rows travel from and to contiguous memory; make a copy with numpy.ascontiguousarray")
    whole = array.reshape(-1).view(np.uint8)
    for start in range(0, len(whole), chunk_bytes):
        yield whole[start : start + chunk_bytes]


def _parts(pieces: Sequence[ArrayRows], move: Move, chunk_bytes: int = CHUNK_BYTES) -> Iterator[np.ndarray[Any, Any]]:
    """Yields the bytes of the rows of a move in chunks; sender and receiver get the same chunks."""
    piece = next((each for each in pieces if each.start <= move.start and move.stop <= each.stop), None)
    if piece is None:
        raise ValueError(f"{move}: these rows are not in one piece of memory on this rank")
    return in_chunks(piece.array[move.start - piece.start : move.stop - piece.start], chunk_bytes)

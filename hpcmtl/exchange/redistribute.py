"""Moves an array that is dealt by rows over some ranks to other ranks: each sends only what another one wants.

Who sends what to whom is worked out from who has what and who wants what (`plan_moves`, pure), which all ranks know; so
nothing is negotiated. What travels are buffers.
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

# MPI counts in 32-bit integers; well below that, so that no library's own limit matters.
CHUNK_BYTES = 1 << 28
_TAG = 32


@dataclass(frozen=True, slots=True)
class Block:
    """The rows start <= i < stop of an array, and the rank that has or wants them.

    Attributes:
        version: of the rows, where they may have been made more than once.
    """

    rank: int
    start: int
    stop: int
    version: int = 0


@dataclass(frozen=True, slots=True)
class Move:
    """The rows start <= i < stop, of this version, go from rank `source` to rank `dest`, which may be the same."""

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
        """Number of the row after the last."""
        return self.start + len(self.array)


def dealt(ranks: Sequence[int], rows: int, version: int = 0) -> tuple[Block, ...]:
    """Deal rows out in contiguous blocks that differ by one row at most, as `data.shard` does it."""
    count = len(ranks)
    return tuple(Block(rank, rows * i // count, rows * (i + 1) // count, version) for i, rank in enumerate(ranks))


def plan_moves(have: Iterable[Block], want: Iterable[Block]) -> tuple[Move, ...]:
    """Say who sends which rows to whom: every wanted row once.

    Args:
        have: who has what; rows that several ranks have come from the one that wants them, if it is among these.
        want: who wants what; several ranks may want the same rows.

    Returns:
        The moves, those to one rank after the other, in the order of `want`.

    Raises:
        ValueError: rows are wanted that nobody has.
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
    """The moves that bring one block; `reach` is the last row known up to each block, by which the first is found."""
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
        raise ValueError(f"rank {wanted.rank} wants the rows {at} to {wanted.stop - 1}: nobody has row {at}")


def redistribute(
    comm: Communicator,
    moves: Sequence[Move],
    mine: Sequence[ArrayRows],
    into: Sequence[ArrayRows],
    chunk_bytes: int = CHUNK_BYTES,
) -> None:
    """Carry out moves; every rank that is named in one calls this with the same `moves`, the others need not.

    Args:
        comm: the ranks in `moves` are its own.
        moves: see `plan_moves`.
        mine: what this rank has, contiguous in memory; read until the call returns.
        into: where the rows go that this rank wants, contiguous in memory; same dtype and shape of a row everywhere.
        chunk_bytes: longer messages are cut.
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
    """The bytes of a contiguous array where they lie, in chunks that fit a message: as uint8, whatever the dtype."""
    assert array.flags.c_contiguous, "rows travel from and to contiguous memory"
    whole = array.reshape(-1).view(np.uint8)
    for start in range(0, len(whole), chunk_bytes):
        yield whole[start : start + chunk_bytes]


def _parts(pieces: Sequence[ArrayRows], move: Move, chunk_bytes: int = CHUNK_BYTES) -> Iterator[np.ndarray[Any, Any]]:
    """The bytes of the rows of a move, in chunks; the same chunks for sender and receiver."""
    piece = next((each for each in pieces if each.start <= move.start and move.stop <= each.stop), None)
    if piece is None:
        raise ValueError(f"{move}: these rows do not lie in one piece of memory on this rank")
    return in_chunks(piece.array[move.start - piece.start : move.stop - piece.start], chunk_bytes)

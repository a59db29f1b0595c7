"""Makes an artifact that has been sealed known to ranks that can take it from memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hpcmtl.exchange.packed_arrays import pack
from hpcmtl.exchange.peer_transfer import ArrayLocation, ArtifactIndex
from hpcmtl.exchange.redistribute import ArrayRows, Block, dealt

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from hpcmtl.arrays import Arrays
    from hpcmtl.training.session import SessionContext

PACKED = "packed parameters"
SPLIT = "split"


class Holders(NamedTuple):
    """The ranks of the world that keep the rows of a layer, in the order of their shares, and which start made them."""

    ranks: Sequence[int]
    version: int


def publish_parameters(context: SessionContext, parameters: Arrays) -> None:
    """Keep a copy of parameters that are equal on all ranks; each rank answers for its share (collective)."""
    peer_transfer = context.peer_transfer
    if peer_transfer is None or not peer_transfer.enabled:
        return
    packed = pack(parameters)
    whole, version = packed.buffer, context.orders().number
    peer_transfer.keep(context.task, version, {PACKED: ArrayRows(0, whole)})
    ranks = context.group.allgather(peer_transfer.rank)
    listed = ArrayLocation(PACKED, whole.dtype.str, whole.shape, dealt(ranks, len(whole), version))
    if context.group.rank == 0:
        peer_transfer.publish(ArtifactIndex(context.task, {PACKED: listed}, packed.layout))


def keep_rows(context: SessionContext, span: tuple[int, int], rows: Arrays) -> Holders:
    """Keep the rows that this rank made of a task's arrays in a layer; return who keeps all of them (collective).

    Args:
        context: of the session.
        span: the group's samples; they were dealt to its ranks as `data.shard` does it.
        rows: of this rank, which nobody changes any more.
    """
    peer_transfer, version = context.peer_transfer, context.orders().number
    if peer_transfer is None or not peer_transfer.enabled:
        return Holders([], version)
    holders = Holders(context.group.allgather(peer_transfer.rank), version)
    mine = _dealt_in(holders, span)[context.group.rank]
    peer_transfer.keep(context.task, version, {name: ArrayRows(mine.start, array) for name, array in rows.items()})
    return holders


def publish_rows(
    context: SessionContext,
    arrays: Arrays,
    split: NDArray[np.uint8],
    layers: Mapping[tuple[int, int], Holders],
) -> None:
    """Answer for stored rows that were kept when they were made; on the group's first rank alone.

    Args:
        context: of the session.
        arrays: name -> all rows, as they were sealed.
        split: (samples,) of the data file that they were sealed in.
        layers: span of samples -> who kept them; a rank may have dropped them meanwhile.
    """
    peer_transfer = context.peer_transfer
    if peer_transfer is None or not peer_transfer.enabled:
        return
    if not all(ranks and max(ranks) < peer_transfer.size for ranks, _ in layers.values()):
        return  # some rows were made in an earlier attempt, perhaps by more ranks than there are now
    version = context.orders().number
    peer_transfer.keep(context.task, version, {SPLIT: ArrayRows(0, split.astype(np.uint8))})
    blocks = tuple(block for span, holders in layers.items() for block in _dealt_in(holders, span))
    listed = {name: ArrayLocation(name, array.dtype.str, array.shape, blocks) for name, array in arrays.items()}
    listed[SPLIT] = ArrayLocation(SPLIT, "|u1", split.shape, (Block(peer_transfer.rank, 0, len(split), version),))
    peer_transfer.publish(ArtifactIndex(context.task, listed))


def publish_whole(context: SessionContext, arrays: Arrays, split: NDArray[np.uint8]) -> None:
    """Keep copies of arrays that one rank alone has, and answer for them; on the group's first rank alone."""
    peer_transfer = context.peer_transfer
    if peer_transfer is not None and peer_transfer.enabled:
        copies = {
            name: ArrayRows(0, np.array(array, array.dtype.newbyteorder("="), order="C"))
            for name, array in arrays.items()
        }
        mine = Holders([peer_transfer.rank], context.orders().number)
        peer_transfer.keep(context.task, mine.version, copies)
        publish_rows(context, {name: rows.array for name, rows in copies.items()}, split, {(0, len(split)): mine})


def _dealt_in(holders: Holders, span: tuple[int, int]) -> list[Block]:
    """The blocks of samples of a layer, which begin at its first sample."""
    first, stop = span
    blocks = dealt(holders.ranks, stop - first)
    return [Block(block.rank, first + block.start, first + block.stop, holders.version) for block in blocks]

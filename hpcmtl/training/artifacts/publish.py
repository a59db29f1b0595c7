"""Publishes a sealed artifact for transfers from memory to memory: its rows are kept, and its index has an owner."""

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
    """Ranks that keep the rows of a layer.

    Attributes:
        ranks: ranks of the world, in the order of their shares.
        version: number of the layer start that made the rows.
    """

    ranks: Sequence[int]
    version: int


def publish_parameters(context: SessionContext, parameters: Arrays) -> None:
    """Keeps a copy of parameters that are equal on all ranks; each rank serves its share (collective)."""
    peer_transfer = context.peer_transfer
    if peer_transfer is None or not peer_transfer.enabled:
        return
    packed = pack(parameters)
    whole, version = packed.buffer, context.orders().start_number
    peer_transfer.keep(context.task, version, {PACKED: ArrayRows(0, whole)})
    ranks = context.group.allgather(peer_transfer.rank)
    listed = ArrayLocation(PACKED, whole.dtype.str, whole.shape, dealt(ranks, len(whole), version))
    if context.group.rank == 0:
        peer_transfer.publish(ArtifactIndex(context.task, {PACKED: listed}, packed.layout))


def keep_rows(context: SessionContext, span: tuple[int, int], rows: Arrays) -> Holders:
    """Keeps the rows that this rank made in a layer (collective).

    Args:
        context: context of the session.
        span: samples of the group, which `data.shard` divided among its ranks.
        rows: name -> rows of this rank; the arrays must not change afterwards.

    Returns:
        The ranks that keep the rows of the whole span.
    """
    peer_transfer, version = context.peer_transfer, context.orders().start_number
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
    """Publishes the index of rows that were kept when they were made; on the group's first rank alone.

    Args:
        context: context of the session.
        arrays: name -> all rows, as they were sealed.
        split: (samples,) split of the sealed data file.
        layers: span of samples -> ranks that kept them; a rank may have dropped them since.
    """
    peer_transfer = context.peer_transfer
    if peer_transfer is None or not peer_transfer.enabled:
        return
    if not all(ranks and max(ranks) < peer_transfer.size for ranks, _ in layers.values()):
        return  # an earlier attempt made some rows, perhaps on more ranks than there are now
    version = context.orders().start_number
    peer_transfer.keep(context.task, version, {SPLIT: ArrayRows(0, split.astype(np.uint8))})
    blocks = tuple(block for span, holders in layers.items() for block in _dealt_in(holders, span))
    listed = {name: ArrayLocation(name, array.dtype.str, array.shape, blocks) for name, array in arrays.items()}
    listed[SPLIT] = ArrayLocation(SPLIT, "|u1", split.shape, (Block(peer_transfer.rank, 0, len(split), version),))
    peer_transfer.publish(ArtifactIndex(context.task, listed))


def publish_whole(context: SessionContext, arrays: Arrays, split: NDArray[np.uint8]) -> None:
    """Keeps and publishes copies of arrays that one rank alone has; on the group's first rank alone."""
    peer_transfer = context.peer_transfer
    if peer_transfer is not None and peer_transfer.enabled:
        copies = {
            name: ArrayRows(0, np.array(array, array.dtype.newbyteorder("="), order="C"))
            for name, array in arrays.items()
        }
        mine = Holders([peer_transfer.rank], context.orders().start_number)
        peer_transfer.keep(context.task, mine.version, copies)
        publish_rows(context, {name: rows.array for name, rows in copies.items()}, split, {(0, len(split)): mine})


def _dealt_in(holders: Holders, span: tuple[int, int]) -> list[Block]:
    """Returns the blocks of the samples of a layer, one a rank."""
    first, stop = span
    blocks = dealt(holders.ranks, stop - first)
    return [Block(block.rank, first + block.start, first + block.stop, holders.version) for block in blocks]

"""Makes an artifact that has been sealed known to ranks that can take it from memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hpcmtl.exchange.handover import Catalogue, Listed
from hpcmtl.exchange.parcel import pack
from hpcmtl.exchange.redistribute import Block, Rows, dealt

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from hpcmtl.exchange.transfer import Arrays
    from hpcmtl.training.session import SessionContext

PACKED = "packed parameters"
SPLIT = "split"


class Holders(NamedTuple):
    """The ranks of the world that keep the rows of a layer, in the order of their shares, and which start made them."""

    ranks: Sequence[int]
    version: int


def publish_parameters(context: SessionContext, parameters: Arrays) -> None:
    """Keep a copy of parameters that are equal on all ranks; each rank answers for its share (collective)."""
    handover = context.handover
    if handover is None or not handover.enabled:
        return
    parcel = pack(parameters)
    whole, version = parcel.buffer, context.orders().number
    handover.keep(context.task, version, {PACKED: Rows(0, whole)})
    ranks = context.group.allgather(handover.rank)
    listed = Listed(PACKED, whole.dtype.str, whole.shape, dealt(ranks, len(whole), version))
    if context.group.rank == 0:
        handover.publish(Catalogue(context.task, {PACKED: listed}, parcel.listed))


def keep_rows(context: SessionContext, span: tuple[int, int], rows: Arrays) -> Holders:
    """Keep the rows that this rank made of a task's arrays in a layer; return who keeps all of them (collective).

    Args:
        context: of the session.
        span: the group's samples; they were dealt to its ranks as `data.shard` does it.
        rows: of this rank, which nobody changes any more.
    """
    handover, version = context.handover, context.orders().number
    if handover is None or not handover.enabled:
        return Holders([], version)
    holders = Holders(context.group.allgather(handover.rank), version)
    mine = _dealt_in(holders, span)[context.group.rank]
    handover.keep(context.task, version, {name: Rows(mine.start, array) for name, array in rows.items()})
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
    handover = context.handover
    if handover is None or not handover.enabled:
        return
    if not all(ranks and max(ranks) < handover.size for ranks, _ in layers.values()):
        return  # some rows were made in an earlier attempt, perhaps by more ranks than there are now
    version = context.orders().number
    handover.keep(context.task, version, {SPLIT: Rows(0, split.astype(np.uint8))})
    blocks = tuple(block for span, holders in layers.items() for block in _dealt_in(holders, span))
    listed = {name: Listed(name, array.dtype.str, array.shape, blocks) for name, array in arrays.items()}
    listed[SPLIT] = Listed(SPLIT, "|u1", split.shape, (Block(handover.rank, 0, len(split), version),))
    handover.publish(Catalogue(context.task, listed))


def publish_whole(context: SessionContext, arrays: Arrays, split: NDArray[np.uint8]) -> None:
    """Keep copies of arrays that one rank alone has, and answer for them; on the group's first rank alone."""
    handover = context.handover
    if handover is not None and handover.enabled:
        copies = {
            name: Rows(0, np.array(array, array.dtype.newbyteorder("="), order="C")) for name, array in arrays.items()
        }
        mine = Holders([handover.rank], context.orders().number)
        handover.keep(context.task, mine.version, copies)
        publish_rows(context, {name: rows.array for name, rows in copies.items()}, split, {(0, len(split)): mine})


def _dealt_in(holders: Holders, span: tuple[int, int]) -> list[Block]:
    """The blocks of samples of a layer, which begin at its first sample."""
    first, stop = span
    blocks = dealt(holders.ranks, stop - first)
    return [Block(block.rank, first + block.start, first + block.stop, holders.version) for block in blocks]

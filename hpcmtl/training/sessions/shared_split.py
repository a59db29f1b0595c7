"""The split that a task trains on: once in the memory of each node, instead of once in each rank."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hpcmtl.communicators.outcome import on_root
from hpcmtl.data.batches import all_sources
from hpcmtl.data.shared_memory import SegmentAddress, SharedSegment, address_space_left
from hpcmtl.data.sources import open_sources, selected
from hpcmtl.data.split_rows import layout_of, read_rows
from hpcmtl.launch.environment import node_id
from hpcmtl.launch.resources.cgroups import cgroup_limits
from hpcmtl.launch.resources.facts import memory_now

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

    from hpcmtl.communicators.base import Communicator
    from hpcmtl.data.batches import BatchSpec
    from hpcmtl.data.split_rows import SplitLayout

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Offer:
    """Holds what one rank tells the others: its node, the segment that it has, and the bytes that it may use."""

    node: str
    held: SegmentAddress | None
    room: int


@dataclass(frozen=True, slots=True)
class _Outcome:
    """Says why a rank does not use the segment (empty if it does), and whether its part could not be read."""

    refusal: str = ""
    failed: bool = False


def share_split(spec: BatchSpec, group: Communicator) -> None:
    """Lets the ranks of each node hold the rows of the split once, if these fit into their budgets (collective).

    Ranks that have the rows from an earlier group give them to the others. Otherwise each rank of a node reads a part
    of them. Where nothing is shared, each rank reads for itself: one that is alone on its node, and all of a node
    without room.

    Raises:
        InputError: the data are damaged; on all ranks.
    """
    if group.size == 1 or not spec.memory_budget:
        return
    mine = spec.cache.segment
    offers = group.allgather(_Offer(_memory_of(), None if mine is None else mine.address, _room()))
    here = [rank for rank, offer in enumerate(offers) if offer.node == offers[group.rank].node]
    holders = [rank for rank in here if offers[rank].held is not None]
    owner = min(holders or here)
    if not holders and owner == group.rank and len(here) > 1:
        mine = _new_segment(spec, min(len(here) * spec.memory_budget, *(offers[rank].room for rank in here)))
    address = group.allgather(None if mine is None else mine.address)[owner]
    segment, outcome, error = None, _Outcome(), None
    if address is not None:
        segment, outcome = _attached(mine, address)
        if segment is not None and not holders:
            error = _reading_error(spec, segment, here.index(group.rank), len(here))
            outcome = _Outcome(failed=error is not None)
    outcomes = group.allgather(outcome)
    _raise_first(group, outcomes, error)
    whole = bool(holders) or not any(outcomes[rank].refusal for rank in here)
    if segment is not None and whole:
        spec.cache.hold(segment, _layout(spec))


def _memory_of() -> str:
    """Returns a name of the memory that this process shares: processes of other namespaces cannot find its files."""
    return f"{node_id()} {Path('/proc/self/ns/pid').readlink()}"


def _room() -> int:
    """Returns the bytes that a shared split may have here: half of what is unused, by the node and by the limits."""
    free = min(memory_now()[1], cgroup_limits().memory or memory_now()[1])
    return min(free, address_space_left()) // 2


def _layout(spec: BatchSpec) -> SplitLayout:
    sources, _ = all_sources(spec)
    with open_sources(sources) as readers:
        return layout_of(readers, len(selected(sources, [spec.split])))


def _new_segment(spec: BatchSpec, room: int) -> SharedSegment | None:
    """Returns a new segment for the split; None if the split is larger than `room`."""
    size = _layout(spec).size
    if size > room:
        _log.debug("a split of %d bytes is not shared: the ranks of the node have room for %d", size, room)
        return None
    try:
        return SharedSegment.create(size)
    except OSError as error:
        _log.warning(
            "each rank of this node reads its samples for itself: no shared memory of %d bytes, %s", size, error
        )
        return None


def _attached(mine: SharedSegment | None, address: SegmentAddress) -> tuple[SharedSegment | None, _Outcome]:
    if mine is not None and mine.address.inode == address.inode:
        return mine, _Outcome()
    try:
        return SharedSegment.attach(address), _Outcome()
    except OSError as error:
        _log.warning("this rank cannot use the samples in the memory of its node (%s): it reads them for itself", error)
        return None, _Outcome(refusal=str(error))


def _reading_error(spec: BatchSpec, segment: SharedSegment, place: int, places: int) -> BaseException | None:
    """Reads the part of one rank into a segment; returns the error, since the others would wait for this rank."""
    try:
        sources, _ = all_sources(spec)
        numbers = selected(sources, [spec.split])
        with open_sources(sources) as readers:
            rows = layout_of(readers, len(numbers)).arrays(segment)
            start, stop = (len(numbers) * each // places for each in (place, place + 1))
            read_rows(readers, numbers, rows, slice(start, stop))
    except BaseException as error:  # noqa: BLE001 - raised again on all ranks
        return error
    return None


def _raise_first(group: Communicator, outcomes: Sequence[_Outcome], error: BaseException | None) -> None:
    """Raises the error of the first rank that could not read its part, on all ranks."""
    failed = [rank for rank, outcome in enumerate(outcomes) if outcome.failed]
    if failed:

        def fail() -> NoReturn:
            raise error if error is not None else RuntimeError("an error without a cause")

        on_root(group, fail, failed[0])

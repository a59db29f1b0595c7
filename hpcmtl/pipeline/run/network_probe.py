"""Measurement of the network between nodes: latency and bandwidth of the messages of a communicator."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.launch.resources.pace import NetworkPace
from hpcmtl.results.hosts import blocks_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcmtl.communicators.base import Communicator

ROUND_TRIPS = 10
CHUNK = 1 << 18  # bytes of one message
CHUNKS = 6  # messages of the measurement of bandwidth
FASTEST = 1e-11  # s per byte, 800 Gb/s: less is noise of the clock
SLOW = 0.02  # s; where the first chunk takes longer, it is the measurement: the probe costs milliseconds


def measure_network(world: Communicator, hosts: Sequence[str]) -> NetworkPace | None:
    """Measures between the first ranks of neighbouring nodes, all pairs at once (collective).

    Args:
        world: communicator of all ranks; none of its messages may be under way.
        hosts: host of each rank.

    Returns:
        The medians over the pairs, the same on all ranks; None on a single node.
    """
    firsts = [block[0] for block in blocks_of(hosts).values()]
    if len(firsts) < 2:
        return None
    found = None
    if world.rank in firsts:
        place = firsts.index(world.rank)
        partner = place ^ 1  # 0 with 1, 2 with 3: the last node of an odd number has none
        if partner < len(firsts):
            if place < partner:
                found = _ask(world, firsts[partner])
            else:
                _answer(world, firsts[partner])
    paces = [pace for pace in world.allgather(found) if pace is not None]
    return NetworkPace(
        statistics.median(pace.latency for pace in paces), statistics.median(pace.seconds_per_byte for pace in paces)
    )


def _ask(world: Communicator, other: int) -> NetworkPace:
    short, chunk = np.zeros(1, np.uint8), np.zeros(CHUNK, np.uint8)
    latency = min(_timed(world, other, short, 1) for _ in range(ROUND_TRIPS)) / 2
    seconds = _timed(world, other, chunk, 1)
    more = 0 if seconds > SLOW else CHUNKS
    world.Send(np.array([more]), other)
    if more:
        seconds = _timed(world, other, chunk, more) / more
    return NetworkPace(latency, max(seconds - latency, FASTEST * CHUNK) / CHUNK)


def _answer(world: Communicator, other: int) -> None:
    short, chunk, more = np.zeros(1, np.uint8), np.zeros(CHUNK, np.uint8), np.zeros(1, np.int64)
    for _ in range(ROUND_TRIPS):
        _reply(world, other, short, 1)
    _reply(world, other, chunk, 1)
    world.Recv(more, other)
    if more[0]:
        _reply(world, other, chunk, int(more[0]))


def _timed(world: Communicator, other: int, message: np.ndarray[Any, Any], count: int) -> float:
    """Returns the seconds of some messages and a short reply to the last one."""
    start = time.perf_counter()
    for _ in range(count):
        world.Send(message, other)
    world.Recv(np.zeros(1, np.uint8), other)
    return time.perf_counter() - start


def _reply(world: Communicator, other: int, message: np.ndarray[Any, Any], count: int) -> None:
    for _ in range(count):
        world.Recv(message, other)
    world.Send(np.zeros(1, np.uint8), other)

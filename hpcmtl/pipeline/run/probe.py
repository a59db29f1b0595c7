"""Resource discovery at the start of a run: facts and measured speeds of all ranks."""

from __future__ import annotations

import logging
import statistics
from threading import Event
from typing import TYPE_CHECKING

from hpcmtl.communicators.polling import next_message
from hpcmtl.launch.resources.facts import rank_facts
from hpcmtl.launch.resources.pace import Pace, measure
from hpcmtl.launch.resources.world import WorldFacts, efficiency_of, given_speeds, speeds_of
from hpcmtl.layerplan.model.machine import EVEN_SPEEDS
from hpcmtl.pipeline.run.network_probe import measure_network
from hpcmtl.results.hosts import blocks_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from hpcmtl.communicators.base import Communicator
    from hpcmtl.launch.resources.facts import RankFacts

_log = logging.getLogger(__name__)

CHECKS = 2
"""Number of further measurements if a rank seems slow; another process may have disturbed the first one."""

_SECONDS_BETWEEN_WARNINGS = 60.0


def probe(
    world: Communicator,
    runs: Path,
    look: Callable[[Path], RankFacts] = rank_facts,
    pace: Callable[[], Pace] = measure,
) -> WorldFacts:
    """Gathers the facts of all ranks and measures their speeds (collective).

    All ranks work at once, which shows slow ranks. Then one rank of each node works alone, which shows the cost of
    sharing a node. Last, neighbouring nodes exchange some messages, which shows the network. It takes a quarter of a
    second, and half a second if a rank is slow.

    Args:
        world: communicator of all ranks; none of its messages may be under way.
        runs: parent directory of the run directory.
        look: returns the facts of a rank.
        pace: measures the speed of this rank.

    Returns:
        The facts, the same on all ranks.

    Raises:
        EnvironmentUnfitError: the speeds that the user gave are not valid.
    """
    facts: tuple[RankFacts, ...] = tuple(world.allgather(look(runs)))
    hosts = [rank.host for rank in facts]
    given = given_speeds(world.size)
    busy = _all_at_once(world, pace)
    for _ in range(CHECKS):
        if given is not None or even(speeds_of(facts, busy)):
            break
        busy = [_better(old, new) for old, new in zip(busy, _all_at_once(world, pace), strict=True)]
    alone = _one_alone(world, blocks_of(hosts)[hosts[world.rank]], pace)
    paces = {rank: each for rank, each in enumerate(world.allgather(alone)) if each is not None}
    speeds = speeds_of(facts, busy) if given is None else given
    flops = statistics.median(each.flops for each in busy)
    network = measure_network(world, hosts)
    return WorldFacts(facts, speeds, efficiency_of(facts, busy, paces), flops, given is not None, network)


def even(speeds: Sequence[float]) -> bool:
    """Returns whether all ranks are about as fast."""
    return min(speeds) * (1 + EVEN_SPEEDS) >= max(speeds)


def _all_at_once(world: Communicator, pace: Callable[[], Pace]) -> list[Pace]:
    world.barrier()
    return world.allgather(pace())


def _one_alone(world: Communicator, block: Sequence[int], pace: Callable[[], Pace]) -> Pace | None:
    """Measures on the first rank of a node while its others sleep: MPI's own waiting would keep their cores busy."""
    first, *others = block
    if world.rank != first:
        handle = world.isend("idle", first)
        _await(world, [first])
        handle.wait()
        return None
    _await(world, others)
    found = pace()
    for handle in [world.isend("measured", rank) for rank in others]:
        handle.wait()
    return found


def _await(world: Communicator, ranks: Sequence[int]) -> None:
    """Sleeps until each of these ranks has sent a message."""
    missing, never = set(ranks), Event()
    while missing:
        message = next_message(world, never, _SECONDS_BETWEEN_WARNINGS)
        if message is None:
            _log.warning("rank %d waits for the probe of ranks %s", world.rank, sorted(missing))
        else:
            missing.discard(message.source)


def _better(old: Pace, new: Pace) -> Pace:
    """Returns the faster of two measurements, window by window."""
    return Pace(tuple(map(max, old.wall, new.wall)), tuple(map(max, old.core, new.core)), max(old.flops, new.flops))

"""What is known of all ranks together: their nodes, their speeds against each other, and what sharing a node costs."""

from __future__ import annotations

import os
import statistics
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from hpcmtl.errors import EnvironmentUnfitError
from hpcmtl.frameworks.device import Device
from hpcmtl.launch.environment import ranks_per_node
from hpcmtl.layerplan.model.machine import EVEN_SPEEDS, Machine

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hpcmtl.launch.resources.facts import RankFacts
    from hpcmtl.launch.resources.pace import Pace

GIVEN_SPEEDS = "HPCMTL_RANK_SPEED"
LEAST_OF_CORES = 0.6  # of what cores alone would give, ranks that share a node's memory or hyper-threads get so much
_GIB = 1 << 30


@dataclass(frozen=True)
class WorldFacts:
    """What the probe found.

    Attributes:
        ranks: facts of each rank, in order.
        rank_speed: of each rank against the others, 1 for an ordinary one.
        efficiency: what the ranks of a node get done together, against what each does alone: 1 if each has a core
            of its own, about 0.5 if two share one.
        flops: operations a second of an ordinary rank in a matrix product.
        given: whether the user gave the speeds.
    """

    ranks: tuple[RankFacts, ...]
    rank_speed: tuple[float, ...]
    efficiency: float
    flops: float
    given: bool = False

    @cached_property
    def hosts(self) -> tuple[str, ...]:
        """Host of each rank."""
        return tuple(rank.host for rank in self.ranks)

    @property
    def node(self) -> tuple[int, ...]:
        """Number of each rank's node, in the order of first appearance."""
        numbers = {host: number for number, host in enumerate(dict.fromkeys(self.hosts))}
        return tuple(numbers[host] for host in self.hosts)

    @property
    def ranks_per_node(self) -> int:
        """See `environment.ranks_per_node`."""
        return ranks_per_node(self.hosts)

    @property
    def cores_per_node(self) -> int:
        """Cores of the node that has fewest for its ranks, by affinity and control groups; 1 at least."""
        return min(cores_of(self.ranks, block) for block in blocks_of(self.hosts).values())

    @property
    def rank_memory(self) -> tuple[int, ...]:
        """Bytes for each rank, if those of a node share alike."""
        sharing = {host: len(block) for host, block in blocks_of(self.hosts).items()}
        return tuple(rank.memory // sharing[rank.host] for rank in self.ranks)

    def device(self, rank: int) -> Device:
        """Return the device of a rank: the CPU, with its share of the cores of its node."""
        block = next(block for block in blocks_of(self.hosts).values() if rank in block)
        return Device(threads=max(cores_of(self.ranks, block) // len(block), 1))

    @property
    def machine(self) -> Machine:
        """What the planner is told."""
        speeds = tuple(round(speed, 3) for speed in self.rank_speed)
        efficiency, flops = round(self.efficiency, 3), float(f"{self.flops:.3g}")
        return Machine(self.ranks_per_node, self.cores_per_node, speeds, self.rank_memory, efficiency, flops)

    def summary(self) -> str:
        """One line for people."""
        slow = [
            f"rank {rank} {speed:.2f}" for rank, speed in enumerate(self.rank_speed) if speed * (1 + EVEN_SPEEDS) < 1
        ]
        nodes, gpus = len(set(self.hosts)), sum({rank.host: rank.gpus for rank in self.ranks}.values())
        text = f"{len(self.ranks)} ranks on {nodes} node{'s' if nodes > 1 else ''} of {self.cores_per_node} cores"
        text += f", {min(self.rank_memory) / _GIB:.1f} GiB a rank" + (f", {gpus} GPUs" if gpus else "")
        text += f"; each runs at {self.efficiency:.0%} when all do, {self.flops / 1e9:.0f} Gflop/s in a matrix product"
        return text + (f"; speeds {'given' if self.given else 'measured'}: {', '.join(slow)}" if slow else "")

    def to_dict(self) -> dict[str, Any]:
        """Plain values for `environment.json`."""
        ranks = [
            {
                "rank": rank,
                "node": node,
                **vars(facts),
                "cores": numbers_in_words(facts.cores),
                "speed": round(speed, 3),
                "memory": memory,
            }
            for rank, (facts, node, speed, memory) in enumerate(
                zip(self.ranks, self.node, self.rank_speed, self.rank_memory, strict=True)
            )
        ]
        of_all = {"efficiency": round(self.efficiency, 3), "flops": float(f"{self.flops:.3g}")}
        return {**of_all, "speeds_given": self.given, "ranks": ranks}


def numbers_in_words(numbers: Sequence[int]) -> str:
    """Rising numbers, neighbours taken together: ``0-3,8``."""
    blocks: list[list[int]] = []
    for number in numbers:
        if blocks and blocks[-1][-1] == number - 1:
            blocks[-1].append(number)
        else:
            blocks.append([number])
    return ",".join(f"{block[0]}-{block[-1]}" if len(block) > 1 else str(block[0]) for block in blocks)


def blocks_of(hosts: Sequence[str]) -> dict[str, list[int]]:
    """The ranks of each host, hosts in order of their first rank."""
    blocks: dict[str, list[int]] = {}
    for rank, host in enumerate(hosts):
        blocks.setdefault(host, []).append(rank)
    return blocks


def cores_of(ranks: Sequence[RankFacts], block: Sequence[int]) -> int:
    """Cores that some ranks of one node have between them."""
    cores = len({core for rank in block for core in ranks[rank].cores})
    quota = min((ranks[rank].limits.cpus or cores for rank in block), default=cores)
    return max(int(min(cores, quota)), 1)


def speeds_of(ranks: Sequence[RankFacts], busy: Sequence[Pace]) -> tuple[float, ...]:
    """Speed of each rank against the median of all.

    Noise only slows: the best of the windows counts. Where ranks share cores, who gets how much of a tenth of a second
    is luck; there the speed of the core counts. Of an even number the faster of the two in the middle is the median,
    so that of two ranks the slow one is slow and not the other one fast.
    """
    best = [0.0] * len(ranks)
    for block in blocks_of([rank.host for rank in ranks]).values():
        share = len(block) > cores_of(ranks, block)
        for rank in block:
            best[rank] = max(busy[rank].core if share else busy[rank].wall)
    middle = statistics.median_high(best)
    return tuple(each / middle for each in best)


def efficiency_of(ranks: Sequence[RankFacts], busy: Sequence[Pace], alone: Mapping[int, Pace]) -> float:
    """What the ranks of a node get done together against what its first rank does alone, up to 1.

    Of several nodes the median counts. What lies above cores over ranks, or far below, was somebody else's load in one
    of the two moments.

    Args:
        ranks: facts of each.
        busy: paces of all ranks at once.
        alone: first rank of each node -> its pace while the others wait.
    """
    found = []
    for block in blocks_of([rank.host for rank in ranks]).values():
        together = max(sum(each) / len(block) for each in zip(*(busy[rank].wall for rank in block), strict=True))
        most = min(cores_of(ranks, block) / len(block), 1.0)
        found.append(min(max(together / max(alone[block[0]].wall), LEAST_OF_CORES * most), most))
    return float(statistics.median(found))


def given_speeds(ranks: int, environ: Mapping[str, str] = os.environ) -> tuple[float, ...] | None:
    """Speeds that the user gave in HPCMTL_RANK_SPEED, such as ``3:0.5`` or ``0-3:1,4-7:0.5``; others have 1.

    Args:
        ranks: of the world.
        environ: the environment of this process.

    Raises:
        EnvironmentUnfitError: it is none of these, or names a rank that is not there.
    """
    text = environ.get(GIVEN_SPEEDS, "")
    if not text:
        return None
    speeds = [1.0] * ranks
    for part in text.split(","):
        where, _, factor = part.partition(":")
        first, _, last = where.partition("-")
        try:
            block, speed = range(int(first), int(last or first) + 1), float(factor)
        except ValueError:
            block, speed = range(0), 0.0
        if not block or not 0 < speed < float("inf") or block[0] < 0 or block[-1] >= ranks:
            raise EnvironmentUnfitError(
                f"{GIVEN_SPEEDS}={text!r}: {part!r} is no RANK:SPEED or FIRST-LAST:SPEED with ranks 0 to {ranks - 1} "
                "and a speed above 0; write 3:0.5 for a rank 3 that is half as fast as the others"
            )
        speeds[block.start : block.stop] = [speed] * len(block)
    return tuple(speeds)

"""Facts about all ranks together: their nodes, relative speeds, and the cost of sharing a node."""

from __future__ import annotations

import os
import statistics
from collections import Counter
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from hpcmtl.errors import EnvironmentUnfitError
from hpcmtl.frameworks.device import Device, RankDevices
from hpcmtl.launch.environment import ranks_per_node
from hpcmtl.launch.resources.gpus import assigned, identity
from hpcmtl.launch.resources.pace import NetworkPace, Pace
from hpcmtl.layerplan.model.machine import EVEN_SPEEDS, Machine
from hpcmtl.results.hosts import blocks_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from hpcmtl.launch.resources.facts import RankFacts
    from hpcmtl.launch.resources.gpus import Gpu

GIVEN_SPEEDS = "HPCMTL_RANK_SPEED"
LEAST_OF_CORES = 0.6  # least fraction of cores over ranks, for ranks that share memory bandwidth or hyper-threads
_GIB = 1 << 30


@dataclass(frozen=True)
class WorldFacts:
    """Holds the results of the probe.

    Attributes:
        ranks: facts of each rank, in order.
        rank_speed: speed of each rank relative to an ordinary one.
        efficiency: work of all ranks of a node at once relative to each alone: 1 if each has its own core, about 0.5 if
            two share one.
        flops: operations per second of an ordinary rank in a matrix product.
        given: True if the user gave the speeds.
        network: speed of the network between nodes; None on one node.
        fit: framework -> ranks on whose GPUs it has computed.
    """

    ranks: tuple[RankFacts, ...]
    rank_speed: tuple[float, ...]
    efficiency: float
    flops: float
    given: bool = False
    network: NetworkPace | None = None
    fit: Mapping[str, frozenset[int]] = field(default_factory=dict)

    @cached_property
    def hosts(self) -> tuple[str, ...]:
        """Host of each rank."""
        return tuple(rank.host for rank in self.ranks)

    @property
    def node(self) -> tuple[int, ...]:
        """Node number of each rank, in the order of first appearance."""
        numbers = {host: number for number, host in enumerate(dict.fromkeys(self.hosts))}
        return tuple(numbers[host] for host in self.hosts)

    @property
    def ranks_per_node(self) -> int:
        """See `environment.ranks_per_node`."""
        return ranks_per_node(self.hosts)

    @property
    def cores_per_node(self) -> int:
        """Number of cores of the node with the fewest, by affinity and control groups; at least 1."""
        return min(cores_of(self.ranks, block) for block in blocks_of(self.hosts).values())

    @property
    def rank_memory(self) -> tuple[int, ...]:
        """Bytes per rank if the ranks of a node share its memory equally."""
        sharing = {host: len(block) for host, block in blocks_of(self.hosts).items()}
        return tuple(rank.memory // sharing[rank.host] for rank in self.ranks)

    @cached_property
    def gpu_numbers(self) -> tuple[int | None, ...]:
        """For each rank the number of its GPU among those that it may use; None for a rank without one."""
        found: dict[int, int | None] = {}
        for block in blocks_of(self.hosts).values():
            local = sorted(block, key=lambda rank: (self.ranks[rank].local_rank or 0, rank))
            found.update(zip(local, assigned([self.ranks[rank].gpus for rank in local]), strict=True))
        return tuple(found[rank] for rank in range(len(self.ranks)))

    @property
    def gpus(self) -> tuple[Gpu | None, ...]:
        """GPU of each rank; None for a rank without one."""
        numbered = zip(self.ranks, self.gpu_numbers, strict=True)
        return tuple(None if number is None else rank.gpus[number] for rank, number in numbered)

    @property
    def gpu_sharers(self) -> tuple[int, ...]:
        """For each rank the number of ranks that compute on its GPU; 0 for a rank without one."""
        taken = zip(self.hosts, self.gpus, self.gpu_numbers, strict=True)
        names = [
            None if gpu is None or number is None else (host, identity(gpu, number)) for host, gpu, number in taken
        ]
        counts = Counter(names)
        return tuple(0 if name is None else counts[name] for name in names)

    @property
    def rank_gpu_memory(self) -> tuple[int, ...]:
        """Bytes of GPU memory per rank if the ranks of a GPU share it equally; 0 for a rank without one."""
        sharing = zip(self.gpus, self.gpu_sharers, strict=True)
        return tuple(0 if gpu is None else gpu.memory // sharers for gpu, sharers in sharing)

    def without_gpus(self, ranks: Collection[int]) -> WorldFacts:
        """Returns the facts without the GPUs of some ranks, which no framework of the job can use there."""
        facts = (replace(each, gpus=()) if rank in ranks else each for rank, each in enumerate(self.ranks))
        return replace(self, ranks=tuple(facts))

    def devices(self, rank: int) -> RankDevices:
        """Return the devices of a rank: its share of the cores of its node, and its GPU."""
        block = next(block for block in blocks_of(self.hosts).values() if rank in block)
        threads, number = max(cores_of(self.ranks, block) // len(block), 1), self.gpu_numbers[rank]
        gpu = None if number is None else Device(kind="gpu", index=number, threads=threads)
        fit = frozenset(name for name, ranks in self.fit.items() if rank in ranks)
        mixed = any(0 < len(ranks) < len(self.ranks) for ranks in self.fit.values())
        return RankDevices(cpu=Device(threads=threads), gpu=gpu, fit=fit, mixed=mixed)

    @property
    def machine(self) -> Machine:
        """Machine for the planner."""
        speeds = tuple(round(speed, 3) for speed in self.rank_speed)
        efficiency, flops = round(self.efficiency, 3), float(f"{self.flops:.3g}")
        network = self.network or NetworkPace(0.0, 0.0)
        return Machine(
            self.ranks_per_node,
            self.cores_per_node,
            speeds,
            self.rank_memory,
            efficiency,
            flops,
            latency=float(f"{network.latency:.3g}"),
            seconds_per_byte=float(f"{network.seconds_per_byte:.3g}"),
            rank_gpu_memory=self.rank_gpu_memory,
        )

    def summary(self) -> str:
        """Returns one line for the user."""
        slow = [
            f"rank {rank} {speed:.2f}" for rank, speed in enumerate(self.rank_speed) if speed * (1 + EVEN_SPEEDS) < 1
        ]
        ranks, nodes = len(self.ranks), len(set(self.hosts))
        text = f"{ranks} rank{'s' * (ranks > 1)} on {nodes} node{'s' * (nodes > 1)} of {self.cores_per_node} cores"
        text += f", {min(self.rank_memory) / _GIB:.1f} GiB a rank{self._summary_of_gpus()}"
        text += f"; each runs at {self.efficiency:.0%} when all do, {self.flops / 1e9:.0f} Gflop/s in a matrix product"
        text += f"; {self.network}" if self.network else ""
        return text + (f"; speeds {'given' if self.given else 'measured'}: {', '.join(slow)}" if slow else "")

    def _summary_of_gpus(self) -> str:
        found = [gpu for gpu in self.gpus if gpu is not None]
        if not found:
            return ""
        models = " and ".join(dict.fromkeys(f"{gpu.name} of {gpu.memory / _GIB:.0f} GiB" for gpu in found))
        without, most = len(self.ranks) - len(found), max(self.gpu_sharers)
        text = f", GPUs: {models}" + (f", {without} of {len(self.ranks)} ranks without one" if without else "")
        return text + (f", up to {most} ranks on one GPU" if most > 1 else "")

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values for `environment.json`."""
        ranks = [
            {
                "rank": rank,
                "node": node,
                **asdict(facts),
                "cores": format_ranges(facts.cores),
                "speed": round(speed, 3),
                "memory": memory,
                "gpu": gpu,
            }
            for rank, (facts, node, speed, memory, gpu) in enumerate(
                zip(self.ranks, self.node, self.rank_speed, self.rank_memory, self.gpu_numbers, strict=True)
            )
        ]
        network = None if self.network is None else vars(self.network)
        of_all = {"efficiency": round(self.efficiency, 3), "flops": float(f"{self.flops:.3g}")}
        return {**of_all, "speeds_given": self.given, "network": network, "ranks": ranks}


def format_ranges(numbers: Sequence[int]) -> str:
    """Formats ascending numbers with ranges: ``0-3,8``."""
    blocks: list[list[int]] = []
    for number in numbers:
        if blocks and blocks[-1][-1] == number - 1:
            blocks[-1].append(number)
        else:
            blocks.append([number])
    return ",".join(f"{block[0]}-{block[-1]}" if len(block) > 1 else str(block[0]) for block in blocks)


def cores_of(ranks: Sequence[RankFacts], block: Sequence[int]) -> int:
    """Returns the number of cores that some ranks of one node share."""
    cores = len({core for rank in block for core in ranks[rank].cores})
    quota = min((ranks[rank].limits.cpus or cores for rank in block), default=cores)
    return max(int(min(cores, quota)), 1)


def speeds_of(ranks: Sequence[RankFacts], busy: Sequence[Pace]) -> tuple[float, ...]:
    """Returns the speed of each rank relative to the median of all.

    The best window counts, because noise only slows. If ranks share cores, the wall time of a short window depends on
    the scheduler, so CPU time is used. For an even number of ranks the faster one in the middle is the median: of two
    ranks the slow one is slow, and not the other one fast.
    """
    best = [0.0] * len(ranks)
    for block in blocks_of([rank.host for rank in ranks]).values():
        share = len(block) > cores_of(ranks, block)
        for rank in block:
            best[rank] = max(busy[rank].core if share else busy[rank].wall)
    middle = statistics.median_high(best)
    return tuple(each / middle for each in best)


def efficiency_of(ranks: Sequence[RankFacts], busy: Sequence[Pace], alone: Mapping[int, Pace]) -> float:
    """Returns the work of the ranks of a node at once relative to its first rank alone, at most 1.

    The result is the median over nodes. Each node's value is limited to a range around cores over ranks: values outside
    it come from other load during one of the two measurements.

    Args:
        ranks: facts of each rank.
        busy: speed of all ranks at once.
        alone: first rank of each node -> its speed while the others wait.
    """
    found = []
    for block in blocks_of([rank.host for rank in ranks]).values():
        together = max(sum(each) / len(block) for each in zip(*(busy[rank].wall for rank in block), strict=True))
        most = min(cores_of(ranks, block) / len(block), 1.0)
        found.append(min(max(together / max(alone[block[0]].wall), LEAST_OF_CORES * most), most))
    return float(statistics.median(found))


def given_speeds(ranks: int, environ: Mapping[str, str] = os.environ) -> tuple[float, ...] | None:
    """Returns the speeds in HPCMTL_RANK_SPEED, such as ``3:0.5`` or ``0-3:1,4-7:0.5``; other ranks have 1.

    Args:
        ranks: number of ranks of the world.
        environ: the environment of this process.

    Raises:
        EnvironmentUnfitError: the value has another form, or names a rank that does not exist.
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

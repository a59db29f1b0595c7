"""Model of the machine: nodes, cores, and the probed speed, memory and contention of ranks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from hpcmtl.arrays import Floats

# Smaller relative differences between speeds are ignored: rules of speed cost planning time, and equal ranks on virtual
# machines were seen to differ by 0.3 for a moment.
EVEN_SPEEDS = 0.4


@dataclass(frozen=True, slots=True)
class Machine:
    """Describes the machine that the ranks run on.

    Attributes:
        node: ranks per node; 0 if all ranks are on one node.
        cores: cores per node; 0 if every rank has at least one core.
        rank_speed: speed of each rank relative to an ordinary one, probed or given; empty if unknown.
        rank_memory: bytes that each rank may use; empty if unknown.
        efficiency: speed of a rank while all ranks of its node compute, relative to one rank alone, as probed; 0 if
            unknown.
        flops: probed single-precision operations per second of a rank in a matrix product; 0 if unknown.
        latency: probed seconds of a short message between nodes; 0 if unknown.
        seconds_per_byte: probed seconds of each byte of a long message between nodes; 0 if unknown.
        rank_gpu_memory: bytes of GPU memory that each rank may use, 0 for a rank without a GPU; empty if unknown.
    """

    node: int = 0
    cores: int = 0
    rank_speed: tuple[float, ...] = ()
    rank_memory: tuple[int, ...] = ()
    efficiency: float = 0.0
    flops: float = 0.0
    latency: float = 0.0
    seconds_per_byte: float = 0.0
    rank_gpu_memory: tuple[int, ...] = ()

    @property
    def rates(self) -> Machine:
        """The probed rates alone: equal for machines that differ in their ranks, such as before and after a loss."""
        return Machine(flops=self.flops, latency=self.latency, seconds_per_byte=self.seconds_per_byte)

    def share(self, block: range) -> tuple[int, float]:
        """Returns the number of nodes that a block of ranks spans, and its `contention` over its slowest speed."""
        nodes = (block.stop - 1) // self.node - block.start // self.node + 1 if self.node else 1
        return nodes, float(self.contention(np.array([len(block)]))[0]) / self.slowest(block)

    def contention(self, ranks: Floats) -> Floats:
        """Returns the factor (K,) >= 1 by which groups of `ranks` (K,) compute slower because they share nodes.

        With a probe the factor grows linearly from 1 for one rank to the probed value for a full node. Without a probe
        it is the number of ranks per core.
        """
        together = np.minimum(ranks, self.node) if self.node else ranks
        of_node = self.node or len(self.rank_speed)
        contention: Floats = np.ones(len(ranks))
        if self.efficiency and of_node > 1:
            contention = 1 + (1 / self.efficiency - 1) * (together - 1) / (of_node - 1)
        elif self.cores:
            contention = np.maximum(together / self.cores, 1.0)
        return contention

    @property
    def speeds(self) -> Floats | None:
        """(P,) speeds for planning, rounded to tenths so that few differ; None if all ranks are about equally fast."""
        speeds = np.array(self.rank_speed)
        if not len(speeds) or speeds.max() <= (1 + EVEN_SPEEDS) * speeds.min():
            return None
        uneven: Floats = np.where(np.abs(speeds - 1) <= EVEN_SPEEDS, 1.0, np.maximum(speeds.round(1), 0.1))
        return uneven

    def slowest(self, block: range) -> float:
        """Returns the speed of the slowest rank in a block."""
        speeds = self.speeds
        return 1.0 if speeds is None else float(speeds[block.start : block.stop].min())


ONE_NODE = Machine()

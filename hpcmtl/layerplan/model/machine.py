"""What ranks run on: their nodes and cores, and by the probe their speeds, their memory and what sharing costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from hpcmtl.arrays import Floats

# Ranks whose speeds differ by less are taken for alike: rules of speed cost planning time, and on virtual machines
# ranks that are alike were seen to differ by 0.3 for a moment.
EVEN_SPEEDS = 0.4


@dataclass(frozen=True, slots=True)
class Machine:
    """What ranks run on.

    Attributes:
        node: ranks of a node; 0 if all are on one.
        cores: cores of a node; 0 if there is one at least for each rank.
        rank_speed: of each rank against an ordinary one, as probed or given; empty if nothing is known.
        rank_memory: bytes that each rank may use; empty if nothing is known.
        efficiency: of all ranks of a node at once against one alone, as probed; 0 if it was not.
        flops: single-precision operations a second of a rank in a matrix product, as probed; 0 if it was not.
    """

    node: int = 0
    cores: int = 0
    rank_speed: tuple[float, ...] = ()
    rank_memory: tuple[int, ...] = ()
    efficiency: float = 0.0
    flops: float = 0.0

    def share(self, block: range) -> tuple[int, float]:
        """Nodes that a block of ranks spans, and its `contention`: more if it has a slow rank."""
        nodes = (block.stop - 1) // self.node - block.start // self.node + 1 if self.node else 1
        return nodes, float(self.contention(np.array([len(block)]))[0]) / self.slowest(block)

    def contention(self, ranks: Floats) -> Floats:
        """How many times slower groups of so many `ranks` (K,) compute because they share nodes; 1 at least.

        By the probe, straight from 1 for one rank to what it found for all of a node. Without one, ranks for each core.
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
        """(P,) speeds to plan with, in tenths, so that few differ; None if all ranks are about as fast."""
        speeds = np.array(self.rank_speed)
        if not len(speeds) or speeds.max() <= (1 + EVEN_SPEEDS) * speeds.min():
            return None
        uneven: Floats = np.where(np.abs(speeds - 1) <= EVEN_SPEEDS, 1.0, np.maximum(speeds.round(1), 0.1))
        return uneven

    def slowest(self, block: range) -> float:
        """Speed of a block of ranks: that of its slowest."""
        speeds = self.speeds
        return 1.0 if speeds is None else float(speeds[block.start : block.stop].min())


ONE_NODE = Machine()

"""Allowed blocks of ranks of each task as bit masks: nodes, memory, GPUs, speed, and the block of another task."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from hpcmtl.layerplan.problem.occupancy import runs

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hpcmtl.arrays import Bools
    from hpcmtl.layerplan.problem.rules import PlacementRules


class Placement:
    """Gives the allowed blocks of each task.

    Attributes:
        ranks: number of ranks, rounded up to whole nodes; no block contains the additional ranks.
        speeds: distinct speeds of the ranks, the highest first.
    """

    def __init__(self, rules: PlacementRules, tasks: int, ranks: int) -> None:
        self._node = rules.node if 0 < rules.node < ranks else ranks
        self._count, self.ranks = ranks, -(-ranks // self._node) * self._node
        none = [0] * tasks
        self._exclusive = none if rules.exclusive is None else rules.exclusive.tolist()
        self._leaders = [-1] * tasks if rules.same_block is None else rules.same_block.tolist()
        self._pinned = [-1] * tasks if rules.pinned is None else rules.pinned.tolist()
        self._memory = none if rules.memory is None else rules.memory.tolist()
        self._rank_memory = np.full(ranks, np.inf) if rules.rank_memory is None else rules.rank_memory
        self._gpu_memory = none if rules.gpu_memory is None else rules.gpu_memory.tolist()
        self._rank_gpu_memory = np.full(ranks, np.inf) if rules.rank_gpu_memory is None else rules.rank_gpu_memory
        self._rank_speed = np.ones(ranks) if rules.rank_speed is None else rules.rank_speed
        self.speeds: list[float] = np.unique(self._rank_speed)[::-1].tolist()
        self._firsts = cache(self._firsts_of)

    def leader(self, task: int) -> int:
        """Returns the task whose block `task` must use, or -1."""
        return int(self._leaders[task])

    def needed(self, task: int, width: int) -> int:
        """Returns the number of contiguous ranks that must be free: whole nodes for an exclusive task."""
        return -(-width // self._node) * self._node if self._exclusive[task] else width

    def taken(self, task: int, block: range) -> range:
        """Returns the ranks that no other task may use while a task runs on a block."""
        return range(block.start, block.start + self.needed(task, len(block)))

    def firsts(self, task: int, width: int, speed: float) -> int:
        """Returns the bit mask of the ranks at which a block may begin if all its ranks have at least `speed`."""
        needs = self._memory[task], self._gpu_memory[task]
        firsts = self._firsts(width, bool(self._exclusive[task]), *needs, speed)
        return firsts if self._pinned[task] < 0 else firsts & 1 << self._pinned[task]

    def choices(self, task: int, width: int, first_rank: Sequence[int]) -> Iterator[tuple[float, int, int]]:
        """Yields where a task may be: a speed, the ranks that it occupies then, and the mask of their first ranks.

        Args:
            task: the task.
            width: its width.
            first_rank: first rank of each task that has a place, of which the leader's counts.
        """
        leader = self.leader(task)
        for speed in self.speeds:
            firsts = self.firsts(task, width, speed)
            if leader >= 0:
                firsts &= 1 << first_rank[leader]
            if firsts:
                yield speed, self.needed(task, width), firsts

    def _firsts_of(self, width: int, exclusive: bool, memory: float, gpu_memory: float, speed: float) -> int:
        inside = 0 if exclusive or width >= self._node else self._node - width
        one_node = (1 << inside + 1) - 1
        nodes = sum(one_node << first for first in range(0, self._count, self._node))
        allowed = nodes & (1 << self._count - width + 1) - 1
        fit = (self._rank_memory >= memory) & (self._rank_gpu_memory >= gpu_memory) & (self._rank_speed >= speed)
        return allowed & runs(_mask(fit), width)


def _mask(chosen: Bools) -> int:
    return int.from_bytes(np.packbits(chosen, bitorder="little").tobytes(), "little")

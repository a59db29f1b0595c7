"""Constraints on the ranks of a task beyond their number."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from hpcmtl.arrays import Bools, Floats, Ints


@dataclass(frozen=True, eq=False, kw_only=True)
class PlacementRules:
    """Holds the constraints on placement for n tasks on P ranks; the default allows any block of ranks.

    Attributes:
        node: ranks per node, 0 for none. A block wider than a node begins at a node; a narrower one lies inside one.
        exclusive: (n,) True for a task that shares its nodes with no other task; its block begins at a node.
        memory: (n,) bytes that each rank of a task needs.
        rank_memory: (P,) bytes of memory of each rank.
        gpu_memory: (n,) bytes of GPU memory that each rank of a task needs; 0 for a task that needs no GPU.
        rank_gpu_memory: (P,) bytes of GPU memory of each rank; 0 for a rank without a GPU.
        rank_speed: (P,) speed of each rank relative to the table of times; a block is as fast as its slowest rank.
        same_block: (n,) index of an earlier task whose block the task must use again; -1 for none.
        pinned: (n,) rank at which the block of a task must begin; -1 for any.
    """

    node: int = 0
    exclusive: Bools | None = None
    memory: Floats | None = None
    rank_memory: Floats | None = None
    gpu_memory: Floats | None = None
    rank_gpu_memory: Floats | None = None
    rank_speed: Floats | None = None
    same_block: Ints | None = None
    pinned: Ints | None = None

    @property
    def any(self) -> bool:
        """True if there is a constraint; memory of ranks and GPUs alone is none until a task needs some."""
        of_tasks = (self.exclusive, self.memory, self.gpu_memory, self.same_block, self.pinned)
        return self.node > 0 or any(array is not None for array in (*of_tasks, self.rank_speed))

    def part(self, tasks: Ints) -> PlacementRules:
        """Returns the rules of some tasks (m,); `same_block` is kept where its task is one of them."""
        exclusive = None if self.exclusive is None else self.exclusive[tasks]
        memory = None if self.memory is None else self.memory[tasks]
        gpu_memory = None if self.gpu_memory is None else self.gpu_memory[tasks]
        pinned = None if self.pinned is None else self.pinned[tasks]
        same_block = None
        if self.same_block is not None:
            index = np.full(len(self.same_block) + 1, -1)  # the last entry is the target of -1
            index[tasks] = np.arange(len(tasks))
            same_block = index[self.same_block[tasks]]
        return replace(
            self, exclusive=exclusive, memory=memory, gpu_memory=gpu_memory, same_block=same_block, pinned=pinned
        )

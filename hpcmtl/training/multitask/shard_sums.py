"""The rows of the gradients of objectives over a group: each rank holds some coordinates of all rows.

The cost of a step is (T + 1) d (n - 1) / n values a rank for T rows of d values on n ranks, where a sum of all rows on
all ranks costs 2 T d (n - 1) / n.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.training.objective_rows import gramian_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hpcmtl.arrays import Arrays, Floats
    from hpcmtl.communicators.base import Communicator


@dataclass(frozen=True)
class Shards:
    """The division of the coordinates of the shared parameters among the ranks of a group.

    Attributes:
        group: the group.
        size: number of coordinates.
    """

    group: Communicator
    size: int

    @property
    def length(self) -> int:
        """Number of coordinates of each rank; the last ranks may have some that stand for none, and are 0."""
        return -(-self.size // self.group.size)

    @property
    def width(self) -> int:
        """Length of a row: all shards."""
        return self.length * self.group.size

    @property
    def first(self) -> int:
        """Number of this rank's first coordinate."""
        return self.length * self.group.rank

    def summed(self, rows: np.ndarray[Any, Any], complete: Iterable[int]) -> np.ndarray[Any, Any]:
        """Returns this rank's shard of the sums of rows over the group, (rows, length) (collective).

        A row may be computed while the one before is summed.

        Args:
            rows: this rank's rows, (rows, width) float32; on one rank they are the result.
            complete: numbers of the rows, in order, each as soon as it is complete.
        """
        if self.group.size == 1:
            for _ in complete:
                pass
            return rows
        blocks = np.empty((len(rows), self.length), np.float32)
        for number in complete:
            self.group.Reduce_scatter_block(rows[number], blocks[number])
        return blocks

    def gramian(self, rows: np.ndarray[Any, Any]) -> Floats:
        """Returns the inner products of rows over the group, (rows, rows) float64, equal on all ranks (collective)."""
        total = gramian_of(rows)
        self.group.Allreduce(total)
        return total

    def gathered(self, block: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Returns the values of all coordinates from the shards of all ranks, the same bits on each (collective).

        Args:
            block: (..., length) this rank's shard.
        """
        if self.group.size == 1:
            return block
        rows = np.ascontiguousarray(block).reshape(prod(block.shape[:-1]), self.length)
        whole = np.empty((self.group.size, *rows.shape), rows.dtype)
        self.group.Allgather(rows, whole)
        joined = whole.transpose(1, 0, 2).reshape(len(rows), self.width)[:, : self.size]
        return joined.reshape(*block.shape[:-1], self.size)

    def cut(self, values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Returns this rank's shard of values of all coordinates; the opposite of `gathered`."""
        padded = np.zeros((*values.shape[:-1], self.width), values.dtype)
        padded[..., : self.size] = values
        return padded[..., self.first : self.first + self.length].copy()

    def gathered_state(self, state: Arrays) -> Arrays:
        """Returns a state with all coordinates from one of shards: arrays with axes have coordinates on the last."""
        return {name: self.gathered(array) if array.ndim else array for name, array in state.items()}

    def cut_state(self, state: Arrays) -> Arrays:
        """Returns this rank's shards of a state; the opposite of `gathered_state`."""
        return {name: self.cut(array) if array.ndim else array for name, array in state.items()}

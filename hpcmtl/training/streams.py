"""Seeds of the random numbers that a training draws, as functions of the step: a resumed training draws the same."""

from __future__ import annotations

import zlib
from dataclasses import dataclass


@dataclass(frozen=True)
class RandomStreams:
    """Gives the seeds of one task on one rank.

    Attributes:
        seed: seed of the task.
        rank: rank in the group of the task.
    """

    seed: int = 0
    rank: int = 0

    def network(self, step: int) -> int:
        """Returns the seed of dropout and the like in a step; ranks have different rows, and so different seeds."""
        return _seed("network", self.seed, step, self.rank)

    def optimizer(self, step: int) -> int:
        """Returns the seed of the optimizer in a step: the same on all ranks, and on any number of ranks."""
        return _seed("optimizer", self.seed, step)


def _seed(*parts: object) -> int:
    return zlib.crc32("/".join(map(str, parts)).encode()) & 0x7FFFFFFF

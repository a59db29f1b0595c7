"""Finds ranks that have become slow from the times of layers: a group is as slow as its slowest rank. Pure.

A layer is compared with other layers of its family on the same number of ranks. A rank in a group of the usual pace is
not slow. A rank that was in slow groups twice in a row is as slow as the less slow of the two. Old observations are
forgotten, so that a rank that is not used for being slow gets another chance.
"""

from __future__ import annotations

from collections import defaultdict, deque
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hpcmtl.layerplan.model.family import Family
    from hpcmtl.layerplan.model.speedup import Measurement

SLOW = 0.65  # part of the usual pace: layers of equal ranks were seen to differ by a third
IN_A_ROW = 2
REMEMBERED_SECONDS, REMEMBERED_LAYERS = 60.0, 4  # whichever is longer


class Stragglers:
    """The paces of each rank that were observed lately."""

    def __init__(self, ranks: int) -> None:
        self.ranks = ranks
        self._steps: dict[tuple[Family, int, float], list[float]] = defaultdict(list)
        self._paces: list[deque[tuple[float, float]]] = [deque(maxlen=IN_A_ROW) for _ in range(ranks)]

    def note(self, block: range, layer: Measurement, now: float) -> None:
        """Takes note of a layer that a block of ranks has run, at `now` seconds."""
        seconds, others = layer.step_seconds, self._steps[layer.family, layer.ranks, layer.rows]
        if others:
            until = now + max(REMEMBERED_SECONDS, REMEMBERED_LAYERS * layer.seconds)
            for rank in block:
                self._paces[rank].append((until, median(others) / seconds))
        if not others or seconds * SLOW <= median(others):  # what a slow rank took is not usual
            others.append(seconds)

    def speeds(self, now: float) -> tuple[float, ...]:
        """Returns the speed of each rank, relative to the usual one: 1, or less if it is slow."""
        return tuple(self._speed(paces, now) for paces in self._paces)

    def _speed(self, paces: deque[tuple[float, float]], now: float) -> float:
        known = [pace for until, pace in paces if now <= until]
        best = max(known, default=1.0)
        return best if len(known) == IN_A_ROW and best < SLOW else 1.0

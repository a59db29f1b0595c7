"""Which ranks have become slow, from what layers took: a group is as slow as its slowest rank. Pure.

A layer is compared with the others of its family on as many ranks. Who was in a group of the usual pace is not slow;
who has been in slow groups alone, twice in a row, is as slow as the less slow of the two. What is long ago is
forgotten, so that a rank that nobody uses for being slow gets another chance.
"""

from __future__ import annotations

from collections import defaultdict, deque
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hpcmtl.layerplan.model.family import Family
    from hpcmtl.layerplan.model.speedup import Measurement

SLOW = 0.65  # of the usual pace: layers of equal ranks were seen to differ by a third
IN_A_ROW = 2
REMEMBERED_SECONDS, REMEMBERED_LAYERS = 60.0, 4  # whichever is longer


class Stragglers:
    """What is known of the pace of each rank."""

    def __init__(self, ranks: int) -> None:
        self.ranks = ranks
        self._steps: dict[tuple[Family, int, float], list[float]] = defaultdict(list)
        self._paces: list[deque[tuple[float, float]]] = [deque(maxlen=IN_A_ROW) for _ in range(ranks)]

    def note(self, block: range, layer: Measurement, now: float) -> None:
        """Take note of a layer that these ranks have run, at `now` seconds."""
        seconds, others = layer.step_seconds, self._steps[layer.family, layer.ranks, layer.rows]
        if others:
            until = now + max(REMEMBERED_SECONDS, REMEMBERED_LAYERS * layer.seconds)
            for rank in block:
                self._paces[rank].append((until, median(others) / seconds))
        if not others or seconds * SLOW <= median(others):  # what a slow rank took is not usual
            others.append(seconds)

    def speeds(self, now: float) -> tuple[float, ...]:
        """Speed of each rank against the usual: 1, or less if it is slow."""
        return tuple(self._speed(paces, now) for paces in self._paces)

    def _speed(self, paces: deque[tuple[float, float]], now: float) -> float:
        known = [pace for until, pace in paces if now <= until]
        best = max(known, default=1.0)
        return best if len(known) == IN_A_ROW and best < SLOW else 1.0

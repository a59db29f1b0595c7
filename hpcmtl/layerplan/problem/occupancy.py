"""Free ranks over time: a sequence of intervals, each with its free ranks as the bits of an integer.

Python integers have arbitrary width, so 4,096 ranks cost hardly more than 64. Every constraint on placement (nodes,
memory, speed) is one more mask.
"""

from __future__ import annotations

import itertools
import math
from bisect import bisect_left, bisect_right
from operator import and_
from typing import NamedTuple

ANYWHERE = -1  # all bits are set: a block may begin at any rank


class Slot(NamedTuple):
    """Holds a free interval of time and ranks for a task.

    Attributes:
        start: seconds.
        end: seconds.
        firsts: bit mask of the ranks at which the block may begin.
        interval: index of the interval that contains `start`.
        after: index of the first interval that begins at `end` or later.
    """

    start: float
    end: float
    firsts: int
    interval: int
    after: int


class Occupancy:
    """Tracks the free ranks at all times from 0 on.

    Attributes:
        work: number of intervals visited so far; the time of packing is about proportional to it.
    """

    def __init__(self, ranks: int) -> None:
        self._begins = [0.0]
        self._everywhere = (1 << ranks) - 1
        self._free = [self._everywhere]
        self._count = [ranks]
        self.work = 0

    def copy(self) -> Occupancy:
        """Returns an independent copy, with no work done."""
        made = Occupancy(0)
        made._everywhere = self._everywhere
        made._begins, made._free, made._count = self._begins[:], self._free[:], self._count[:]
        return made

    def find(self, ready: float, seconds: float, width: int, firsts: int, before: float = math.inf) -> Slot | None:
        """Returns the earliest slot from `ready` on, or None if it would not end before `before` (all in seconds).

        Args:
            ready: earliest start.
            seconds: duration.
            width: number of contiguous ranks.
            firsts: mask of ranks at which the block may begin, one of which becomes free at some time, or `ANYWHERE`.
            before: latest end, exclusive.
        """
        begins, free, count, last = self._begins, self._free, self._count, len(self._begins)
        first = i = k = bisect_right(begins, ready) - 1
        start = ready
        # The AND of `free` over intervals i to k - 1, as a queue of two stacks: `newer` is that of the last intervals,
        # `older` has suffix ANDs for intervals that may be dropped. Each interval is visited about twice.
        newer = self._everywhere
        older: list[int] = []
        while (end := start + seconds) < before:
            while k == i or (k < last and begins[k] < end):
                if count[k] < width:  # no slot contains this interval: the next candidate begins after it
                    while count[k] < width:
                        k += 1
                    i, start = k, begins[k]
                    if (end := start + seconds) >= before:
                        self.work += k - first
                        return None
                    newer, older = self._everywhere, []
                else:
                    newer &= free[k]
                    k += 1
            mask = newer & older[-1] if older else newer
            if mask.bit_count() >= width and (mask := runs(mask, width) & firsts):
                self.work += k - first
                return Slot(start, end, mask, i, k)
            if not older:
                older, newer = list(itertools.accumulate(reversed(free[i:k]), and_)), self._everywhere
            older.pop()
            i, start = i + 1, begins[i + 1]
        self.work += k - first
        return None

    def take(self, slot: Slot, first_rank: int, width: int) -> None:
        """Occupies `width` ranks from `first_rank` on during a slot that `find` has just returned."""
        begins, free, count = self._begins, self._free, self._count
        start, end, _, i, k = slot
        if begins[i] < start:
            i, k = i + 1, k + 1
            self._split(i, start)
        if k == len(begins) or begins[k] > end:
            self._split(k, end)
        self.work += k - i
        block = ((1 << width) - 1) << first_rank
        j = i
        while j < k:
            free[j] ^= block
            count[j] -= width
            if not free[j] and j and not free[j - 1]:  # one interval without free ranks is passed faster than several
                self._merge(j)
                k -= 1
            else:
                j += 1
        if k < len(free) and not free[k] and not free[k - 1]:
            self._merge(k)

    def block(self, start: float, end: float, ranks: int) -> None:
        """Occupies the free ones of the ranks in a bit mask from `start` to `end`, in seconds."""
        i = self._boundary(start)
        k = self._boundary(end)
        self.work += k - i
        for j in range(i, k):
            self._free[j] &= ~ranks
            self._count[j] = self._free[j].bit_count()

    def _merge(self, i: int) -> None:
        """Joins an interval with the one before it, which has the same free ranks."""
        del self._begins[i], self._free[i], self._count[i]

    def _boundary(self, moment: float) -> int:
        i = bisect_left(self._begins, moment)
        if i == len(self._begins) or self._begins[i] > moment:
            self._split(i, moment)
        return i

    def _split(self, i: int, moment: float) -> None:
        """Cuts an interval at `moment`; the new interval has the same free ranks."""
        self._begins.insert(i, moment)
        self._free.insert(i, self._free[i - 1])
        self._count.insert(i, self._count[i - 1])


def runs(mask: int, width: int) -> int:
    """Returns the mask of the bits at which a run of at least `width` ones begins."""
    length = 1
    while length < width and mask:
        step = length if 2 * length <= width else width - length
        mask &= mask >> step
        length += step
    return mask

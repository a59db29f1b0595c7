"""List scheduling into contiguous blocks of ranks."""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hpcmtl.layerplan.plan import dispatch_key

if TYPE_CHECKING:
    from hpcmtl.layerplan.problem import PlanningProblem
    from hpcmtl.taskgraph.levels import Floats, Ints

# How many ready tasks that do not fit are passed over in search of one that does.
BACKFILL = 16


@dataclass(frozen=True)
class Schedule:
    """When and where every task runs, as arrays (n,).

    Attributes:
        columns: width of each task, as a column of the problem's table.
        start: seconds.
        end: seconds.
        first_rank: first rank of its block.
        wave: barrier that each task waits for; None for a schedule without barriers.
    """

    columns: Ints
    start: Floats
    end: Floats
    first_rank: Ints
    wave: Ints | None = None

    @property
    def makespan(self) -> float:
        """Seconds to the last end."""
        return float(self.end.max(initial=0.0))


class _Turn(NamedTuple):
    """What `dispatch_key` wants to know of a task."""

    job_priority: int
    priority: float
    layers: int
    name: str


def dispatch_order(problem: PlanningProblem, seconds: Floats) -> list[int]:
    """Indices of all tasks by `dispatch_key`, for tasks that take `seconds` (n,)."""
    columns = (problem.priority, problem.levels.bottom(seconds), problem.layers)
    turns = list(zip(*(column.tolist() for column in columns), problem.names, strict=True))
    return sorted(range(len(turns)), key=lambda i: dispatch_key(_Turn(*turns[i])))


def pack(problem: PlanningProblem, columns: Ints, *, alone: bool = False) -> Schedule:
    """Start tasks in dispatch order as ranks come free.

    A task takes the smallest hole that holds it, the lowest of equal ones. A ready task that does not fit is passed
    over, so no rank idles for order's sake (at most `BACKFILL` are).

    Args:
        problem: the tasks.
        columns: (n,) width of each, as a column of the table.
        alone: one task at a time, whatever its width.
    """
    seconds, widths = problem.at(columns)
    order = dispatch_order(problem, seconds)
    blocks = [problem.ranks] * len(order) if alone else widths.tolist()
    run = _Run(problem, order, seconds.tolist(), blocks)
    run.to_end()
    start, first_rank = np.array(run.start), np.array(run.first_rank, dtype=np.int64)
    return Schedule(columns, start, start + seconds, first_rank)


class _Run:
    """The state of one list scheduling run; tasks are known by their place in the dispatch order where heaps sort."""

    def __init__(self, problem: PlanningProblem, order: list[int], seconds: list[float], blocks: list[int]) -> None:
        self.order, self.seconds, self.blocks = order, seconds, blocks
        self.place = [0] * len(order)
        for place, task in enumerate(order):
            self.place[task] = place
        self.waiting = np.diff(problem.levels.producers.starts).tolist()
        self.next_starts = problem.levels.consumers.starts.tolist()
        self.next_items = problem.levels.consumers.items.tolist()
        self.release = problem.release.tolist()
        self.ready: list[int] = []
        self.unreleased: list[tuple[float, int]] = []  # nothing but time is missing
        self.running: list[tuple[float, int]] = []
        self.holes = Holes(problem.ranks)
        self.start = [0.0] * len(order)
        self.first_rank = [0] * len(order)
        for task, count in enumerate(self.waiting):
            if count == 0:
                heappush(self.unreleased, (self.release[task], self.place[task]))

    def to_end(self) -> None:
        """Run until nothing is left."""
        while self.unreleased or self.ready or self.running:
            now = min(queue[0][0] for queue in (self.unreleased, self.running) if queue)
            while self.running and self.running[0][0] <= now:
                self._finish(self.order[heappop(self.running)[1]])
            while self.unreleased and self.unreleased[0][0] <= now:
                heappush(self.ready, heappop(self.unreleased)[1])
            self._start_what_fits(now)

    def _start_what_fits(self, now: float) -> None:
        passed: list[int] = []
        while self.ready and self.holes.largest and len(passed) < BACKFILL:
            place = heappop(self.ready)
            task = self.order[place]
            if self.blocks[task] > self.holes.largest:
                passed.append(place)
                continue
            self.start[task] = now
            self.first_rank[task] = self.holes.take(self.blocks[task])
            heappush(self.running, (now + self.seconds[task], place))
        for place in passed:
            heappush(self.ready, place)

    def _finish(self, task: int) -> None:
        self.holes.give_back(self.first_rank[task], self.blocks[task])
        for follower in self.next_items[self.next_starts[task] : self.next_starts[task + 1]]:
            self.waiting[follower] -= 1
            if self.waiting[follower] == 0:
                heappush(self.unreleased, (self.release[follower], self.place[follower]))


class Holes:
    """The free ranks, as contiguous holes."""

    def __init__(self, ranks: int) -> None:
        self._first = {0: ranks}  # first rank of a hole -> its size
        self._last = {ranks: 0}  # rank after a hole -> its first rank
        self._by_size = [(ranks, 0)]

    @property
    def largest(self) -> int:
        """Ranks of the largest hole; 0 if no rank is free."""
        return self._by_size[-1][0] if self._by_size else 0

    def take(self, width: int) -> int:
        """Take `width` ranks out of the smallest hole that holds them (`largest` does); return the first."""
        size, first = self._by_size[bisect_left(self._by_size, (width, 0))]
        self._drop(first, size)
        if size > width:
            self._add(first + width, size - width)
        return first

    def give_back(self, first: int, width: int) -> None:
        """Free a block and join it with the holes on both sides."""
        if first in self._last:
            before = self._last[first]
            self._drop(before, first - before)
            first, width = before, width + first - before
        if first + width in self._first:
            size = self._first[first + width]
            self._drop(first + width, size)
            width += size
        self._add(first, width)

    def _add(self, first: int, size: int) -> None:
        self._first[first] = size
        self._last[first + size] = first
        insort(self._by_size, (size, first))

    def _drop(self, first: int, size: int) -> None:
        del self._first[first]
        del self._last[first + size]
        del self._by_size[bisect_left(self._by_size, (size, first))]

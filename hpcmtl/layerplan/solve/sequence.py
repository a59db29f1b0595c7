"""Incremental packing of tasks in a sequence: a change at one position packs only the tasks from there on.

Tasks keep the widths that they are given (serial schedule generation; see `packing`). The occupancy is kept at every
few positions. A change that exceeds a limit is given up at the first task that shows it.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hpcmtl.layerplan.problem.occupancy import ANYWHERE, Occupancy
from hpcmtl.layerplan.solve.packing import AREA_GROWTH, OTHER_WIDTHS, PLACED, WIDE, Schedule

if TYPE_CHECKING:
    from hpcmtl.layerplan.problem.occupancy import Slot
    from hpcmtl.layerplan.problem.planning_problem import PlanningProblem

COPIES = 32  # number of positions at which the occupancy is kept
LEAST_DISTANCE = 4  # between two of them


class Solution(NamedTuple):
    """Holds a sequence of all tasks, producers first, and (n,) widths as columns of the table."""

    sequence: list[int]
    columns: list[int]


class Trial(NamedTuple):
    """Holds the packing of a changed sequence, from the first changed position on.

    Attributes:
        makespan: seconds.
        columns: (n,) width of each task.
        since: position from which it was packed.
        copies: occupancy at positions after `since`.
        start: (n,) seconds.
        end: (n,) seconds.
        first_rank: (n,) first rank of each block.
    """

    makespan: float
    columns: list[int]
    since: int
    copies: dict[int, Occupancy]
    start: list[float]
    end: list[float]
    first_rank: list[int]


class SequencePacking:
    """Packs sequences of a problem.

    Attributes:
        work: so far, in visits of an interval of time; the time of packing is about proportional to it.
        packed: the packing of the accepted sequence.
        producers: (n,) producers of each task.
        consumers: (n,) consumers of each task.
    """

    def __init__(self, problem: PlanningProblem) -> None:
        count, levels = len(problem.names), problem.levels
        self._problem, self._placement = problem, problem.placement
        self._anywhere, self._wide = not problem.rules.any, WIDE * problem.ranks
        self._times, self._widths = problem.times.tolist(), problem.widths.tolist()
        self._useful = [np.flatnonzero(row).tolist() for row in problem.useful]
        leaders, self._speed = problem.rules.same_block, problem.top_speed
        self._leaders = [-1] * count if leaders is None else leaders.tolist()
        self._first_rank: list[int] = []  # of the tasks in the trial
        self._release = problem.release.tolist()
        self._tail = [0.0] * count  # seconds that follow each task, at the widths of the accepted packing
        self._step = max(LEAST_DISTANCE, count // COPIES)
        starts, items = levels.producers.starts.tolist(), levels.producers.items.tolist()
        self.producers = [items[starts[task] : starts[task + 1]] for task in range(count)]
        starts, items = levels.consumer_lists
        self.consumers = [items[starts[task] : starts[task + 1]] for task in range(count)]
        self.work = 0
        self._copies = {0: Occupancy(self._placement.ranks)}
        self.packed = Trial(np.inf, [], 0, {}, [0.0] * count, [0.0] * count, [0] * count)

    def trial(self, of: Solution, since: int, limit: float, *, molds: bool = False) -> Trial | None:
        """Packs a sequence that is equal to the accepted one before a position.

        Args:
            of: the sequence and the widths; those of tasks before `since` are unchanged.
            since: the position.
            limit: makespan in seconds; the result is None as soon as a task shows that it is exceeded, if those after
                it keep their widths.
            molds: tasks after `since` may change widths: one that would wait takes fewer ranks if it then ends sooner,
                and one that would end later than in the accepted packing takes some more.
        """
        begin = since // self._step * self._step
        occupancy, copies = self._copies[begin].copy(), {}
        sequence, columns = of.sequence, of.columns[:] if molds else of.columns
        start, end, first_rank = self.packed.start[:], self.packed.end[:], self.packed.first_rank[:]
        self._first_rank = first_rank
        for position in range(begin, len(sequence)):
            if position % self._step == 0 and position > begin:
                copies[position] = occupancy.copy()
            task = sequence[position]
            leader = self._leaders[task]
            column = columns[task] = columns[task if leader < 0 else leader]
            if position < since:
                self._repeat(occupancy, task, column)
                continue
            ready = self._release[task]
            for producer in self.producers[task]:
                ready = max(ready, end[producer])
            before = (limit - self._tail[task]) * (1 + 1e-12)
            slot = self._find(occupancy, task, column, ready, before)
            if slot is None:
                self.work += occupancy.work
                return None
            if molds and position > since and self._leaders[task] < 0:
                column, slot = self._molded(occupancy, task, column, slot, ready)
                columns[task] = column
            first_rank[task] = self._take(occupancy, task, column, slot)
            start[task], end[task] = slot.start, slot.end
        self.work += occupancy.work
        return Trial(max(end, default=0.0), columns, begin, copies, start, end, first_rank)

    def accept(self, trial: Trial) -> None:
        """Makes a trial the packing that the next ones change."""
        kept = {position: copy for position, copy in self._copies.items() if position <= trial.since}
        self._copies, self.packed = kept | trial.copies, trial
        seconds = self._problem.at(np.array(trial.columns))[0] / self._speed
        self._tail = (self._problem.levels.bottom(seconds) - seconds).tolist()

    def schedule(self) -> Schedule:
        """Returns the accepted packing."""
        packed = self.packed
        chosen, first_rank = np.array(packed.columns, dtype=np.int64), np.array(packed.first_rank, dtype=np.int64)
        return Schedule(chosen, np.array(packed.start), np.array(packed.end), first_rank)

    def _find(self, occupancy: Occupancy, task: int, column: int, ready: float, before: float) -> Slot | None:
        """Returns the slot that ends first, and before `before`."""
        self.work += PLACED
        width, seconds = self._widths[column], self._times[task][column]
        if self._anywhere:
            return occupancy.find(ready, seconds, width, ANYWHERE, before)
        best = None
        for speed, needed, firsts in self._placement.choices(task, width, self._first_rank):
            slot = occupancy.find(ready, seconds / speed, needed, firsts, before)
            if slot is not None:
                best, before = slot, slot.end
        return best

    def _molded(self, occupancy: Occupancy, task: int, column: int, slot: Slot, ready: float) -> tuple[int, Slot]:
        """Returns the width and the slot that end first among some near widths; see `packing`."""
        times, widths = self._times[task], self._widths
        here = bisect_left(useful := self._useful[task], column)
        near: list[int] = []
        if slot.start > ready:
            near += useful[max(here - OTHER_WIDTHS, 0) : here][::-1]
        if slot.end > self.packed.end[task]:
            most = AREA_GROWTH * times[column] * widths[column]
            near += [
                other for other in useful[here + 1 : here + 1 + OTHER_WIDTHS] if times[other] * widths[other] <= most
            ]
        for other in near:
            if ready + times[other] / self._speed < slot.end:
                found = self._find(occupancy, task, other, ready, slot.end)
                if found is not None:
                    column, slot = other, found
        return column, slot

    def _take(self, occupancy: Occupancy, task: int, column: int, slot: Slot) -> int:
        """Occupies a block of the slot and returns its first rank: the last for a narrow task, as in `packing`."""
        width = self._widths[column]
        first = ((slot.firsts & -slot.firsts) if width > self._wide else slot.firsts).bit_length() - 1
        occupancy.take(slot, first, width if self._anywhere else self._placement.needed(task, width))
        return first

    def _repeat(self, occupancy: Occupancy, task: int, column: int) -> None:
        """Places a task where it is in the accepted packing."""
        packed, width = self.packed, self._widths[column]
        needed = width if self._anywhere else self._placement.needed(task, width)
        occupancy.block(packed.start[task], packed.end[task], ((1 << needed) - 1) << packed.first_rank[task])

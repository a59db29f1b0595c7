"""Serial list scheduling into contiguous blocks of ranks: each task in turn gets its earliest free block.

Tasks are placed in dispatch order. A task may use idle time before an earlier task but never delays it (insertion, as
in HEFT; serial schedule generation in project scheduling). With `moldable_until`, a task that would have to wait for
its ranks takes fewer ranks if it then ends sooner. This fills the gaps between contiguous blocks.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, replace
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING

import numpy as np

from hpcmtl.layerplan.problem.occupancy import ANYWHERE, Occupancy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcmtl.arrays import Bools, Floats, Ints
    from hpcmtl.layerplan.problem.occupancy import Slot
    from hpcmtl.layerplan.problem.planning_problem import PlanningProblem

# Narrow tasks are placed from the last rank, wide ones from the first: one large gap stays between them. Measured best.
WIDE = 1 / 16
AREA_GROWTH = 1.1  # factor of area that a late task may take to end sooner
PLACED = 26  # work of a search for a place beside the intervals that it visits (measured: 1.3 us, and 0.05 us each)
OTHER_WIDTHS = 8  # number of other widths tried for a late task


@dataclass(frozen=True)
class Schedule:
    """Holds the time and ranks of every task, as arrays (n,).

    Attributes:
        columns: width of each task, as a column of the problem's table.
        start: seconds.
        end: seconds.
        first_rank: first rank of the block.
        wave: index of the barrier that each task waits for; None for a schedule without barriers.
        sequence: the tasks in the order in which they were placed; None if they were not placed one after the other.
        work: work of packing, in visits of an interval of time; see `Occupancy.work`.
    """

    columns: Ints
    start: Floats
    end: Floats
    first_rank: Ints
    wave: Ints | None = None
    sequence: tuple[int, ...] | None = None
    work: int = 0

    @property
    def makespan(self) -> float:
        """Seconds until the last end."""
        return float(self.end.max(initial=0.0))


@dataclass(frozen=True)
class FixedPart:
    """Holds the part of a schedule that can no longer be planned.

    Attributes:
        now: seconds; no other task may start sooner.
        started: (n,) True for tasks that have started or ended.
        schedule: actual times of these tasks, with the ends expected now; undefined for the other tasks.
        busy: blocks of ranks that are occupied otherwise, each with the seconds until it is free.
    """

    now: float
    started: Bools
    schedule: Schedule
    busy: tuple[tuple[range, float], ...] = ()


def dispatch_order(problem: PlanningProblem, urgency: Floats) -> Ints:
    """Returns the indices of all tasks sorted by `plan.dispatch_key`, with bottom levels `urgency` (n,) in seconds."""
    order: Ints = np.lexsort((problem.name_order, -problem.layers, -urgency, -problem.priority))
    return order


def turns_by_start(problem: PlanningProblem, start: Floats) -> Ints:
    """Returns (n,) the position of each task in the order of given starts, for `pack`."""
    turns: Ints = np.argsort(np.lexsort((problem.name_order, start)))
    return turns


def pack(
    problem: PlanningProblem,
    columns: Ints,
    *,
    moldable_until: float | None = None,
    turn: Ints | None = None,
    alone: bool = False,
    fixed: FixedPart | None = None,
) -> Schedule:
    """Gives every task in turn its earliest free block.

    Args:
        problem: the tasks.
        columns: (n,) width of each task, as a column of the table.
        moldable_until: desired end of the plan in seconds; widths may change while packing. A task that would have to
            wait takes fewer ranks if it then ends sooner, and one that would end too late takes more.
        turn: (n,) sort key among the tasks whose producers are placed, smallest first; None for the dispatch order.
        alone: run one task at a time, whatever its width.
        fixed: the tasks that have started.
    """
    packing = _Packing(problem, columns, moldable_until, alone=alone)
    if turn is None:
        turn = np.argsort(dispatch_order(problem, packing.bottom))
    return packing.schedule(turn.tolist(), fixed, len(turn))


def pack_next(
    problem: PlanningProblem,
    columns: Ints,
    moldable_until: float,
    fixed: FixedPart,
    *,
    most: int,
    stay: Sequence[int] = (),
) -> Schedule:
    """Packs the next `most` tasks in dispatch order as `pack` does; the others start at infinity.

    Args:
        problem: the tasks.
        columns: (n,) as for `pack`.
        moldable_until: as for `pack`.
        fixed: the tasks that have started.
        most: number of tasks to place.
        stay: (n,) preferred first rank of a task, used where it is free in time; -1 for any.
    """
    packing = _Packing(problem, columns, moldable_until, alone=False)
    packing.stay = stay
    turn = np.argsort(dispatch_order(problem, packing.bottom))
    return packing.schedule(turn.tolist(), fixed, most)


def pack_in_turn(
    problem: PlanningProblem, columns: Ints, fixed: FixedPart, turn: Ints, stay: Sequence[int]
) -> Schedule:
    """Packs all tasks by `turn` as `pack` does, on the preferred ranks `stay` of `pack_next`."""
    packing = _Packing(problem, columns, None, alone=False)
    packing.stay = stay
    return packing.schedule(turn.tolist(), fixed, len(turn))


def replay(problem: PlanningProblem, plan: Schedule, seconds: Floats) -> Schedule:
    """Returns the schedule that results if tasks take other `seconds` (n,).

    Ranks keep the order of their tasks, and barriers hold.
    """
    widths = problem.widths[plan.columns]
    start, end, free = np.zeros(len(seconds)), np.zeros(len(seconds)), np.zeros(problem.ranks)
    producers, now = problem.levels.producers, 0.0
    wave, last = np.zeros(len(seconds), dtype=np.int64) if plan.wave is None else plan.wave, 0
    for task in np.lexsort((problem.levels.depths, plan.start, wave)).tolist():
        if wave[task] > last:
            last, now = int(wave[task]), float(end.max())
        ranks = slice(plan.first_rank[task], plan.first_rank[task] + widths[task])
        before = end[producers.items[producers.starts[task] : producers.starts[task + 1]]]
        start[task] = max(problem.release[task], before.max(initial=now), free[ranks].max())
        end[task] = free[ranks] = start[task] + seconds[task]
    return replace(plan, start=start, end=end)


class _Packing:
    """Holds the state of one packing."""

    def __init__(self, problem: PlanningProblem, columns: Ints, moldable_until: float | None, *, alone: bool) -> None:
        seconds, widths = problem.at(columns)
        self.problem = problem
        self.bottom = problem.levels.bottom(seconds)
        self.columns, self.seconds, self.widths = columns.tolist(), seconds.tolist(), widths.tolist()
        self.latest = ((np.inf if moldable_until is None else moldable_until) - self.bottom + seconds).tolist()
        self.moldable, self.alone = moldable_until is not None, alone
        self.placement = problem.placement
        self.anywhere, self.wide = not problem.rules.any, WIDE * problem.ranks
        self.occupancy = Occupancy(self.placement.ranks)
        self.choice_columns, self.choice_widths, self.choice_times = (
            problem.choice_lists if self.moldable else ([], [], [])
        )
        self.start = [np.inf] * len(self.widths)
        self.end = [np.inf] * len(self.widths)
        self.first_rank = [0] * len(self.widths)
        self.stay: Sequence[int] = ()

    def schedule(self, turn: list[int], fixed: FixedPart | None, most: int) -> Schedule:
        """Places up to `most` tasks, always the one with the smallest `turn` (n,) among those with placed producers."""
        problem = self.problem
        starts, items = problem.levels.consumer_lists
        waiting = np.diff(problem.levels.producers.starts).tolist()
        ready = problem.release.tolist()
        started = self._place_fixed(fixed) if fixed is not None else []
        for task in started:
            for consumer in items[starts[task] : starts[task + 1]]:
                ready[consumer] = max(ready[consumer], self.end[task])
                waiting[consumer] -= 1
        if fixed is not None:
            ready = [max(moment, fixed.now) for moment in ready]
        done = set(started)
        queue = [(turn[task], task) for task, count in enumerate(waiting) if count == 0 and task not in done]
        heapify(queue)
        end, sequence = 0.0, started
        while queue and most:
            _, task = heappop(queue)
            most -= 1
            sequence.append(task)
            self._place(task, max(ready[task], end) if self.alone else ready[task])
            end = self.end[task]
            for consumer in items[starts[task] : starts[task + 1]]:
                ready[consumer] = max(ready[consumer], end)
                waiting[consumer] -= 1
                if waiting[consumer] == 0:
                    heappush(queue, (turn[consumer], consumer))
        return Schedule(
            np.array(self.columns, dtype=np.int64),
            np.array(self.start),
            np.array(self.end),
            np.array(self.first_rank, dtype=np.int64),
            sequence=tuple(sequence),
            work=self.occupancy.work + PLACED * len(sequence),
        )

    def _place_fixed(self, fixed: FixedPart) -> list[int]:
        """Records the tasks that have started, reserves the ranks of those that run, and returns the tasks."""
        old = fixed.schedule
        started: list[int] = np.flatnonzero(fixed.started).tolist()
        for task in started:
            column = int(old.columns[task])
            self.columns[task], self.widths[task] = column, int(self.problem.widths[column])
            self.start[task], self.end[task] = float(old.start[task]), float(old.end[task])
            self.first_rank[task] = int(old.first_rank[task])
            if self.end[task] > fixed.now:
                block = (1 << self.placement.needed(task, self.widths[task])) - 1
                self.occupancy.block(fixed.now, self.end[task], block << self.first_rank[task])
        for ranks, until in fixed.busy:
            self.occupancy.block(fixed.now, until, ((1 << len(ranks)) - 1) << ranks.start)
        return started

    def _place(self, task: int, ready: float) -> None:
        leader = -1 if self.anywhere else self.placement.leader(task)
        if leader >= 0:
            self.columns[task], self.widths[task] = self.columns[leader], self.widths[leader]
            self.seconds[task] = float(self.problem.times[task, self.columns[task]])
        slot = self._find(task, self.widths[task], self.seconds[task], ready)
        assert slot is not None, f"{self.problem.names[task]} fits nowhere; see apply_constraints"
        if self.moldable and leader < 0:
            if slot.start > ready:
                slot = self._other_width(task, slot, ready, narrower=True)
            if slot.end > self.latest[task]:
                slot = self._other_width(task, slot, ready, narrower=False)
        width = self.widths[task]
        first = ((slot.firsts & -slot.firsts) if width > self.wide else slot.firsts).bit_length() - 1
        if self.stay and self.stay[task] >= 0 and slot.firsts >> self.stay[task] & 1:
            first = self.stay[task]
        self.occupancy.take(slot, first, width if self.anywhere else self.placement.needed(task, width))
        self.start[task], self.end[task], self.first_rank[task] = slot.start, slot.end, first

    def _find(self, task: int, width: int, seconds: float, ready: float, before: float = np.inf) -> Slot | None:
        """Returns the slot that ends first, and before `before`: the fastest ranks may not be free first."""
        if self.anywhere:  # a fast path, because most of the time is spent here
            return self.occupancy.find(ready, seconds, width, ANYWHERE, before)
        best = None
        for speed, needed, firsts in self.placement.choices(task, width, self.first_rank):
            slot = self.occupancy.find(ready, seconds / speed, needed, firsts, before)
            if slot is not None:
                best, before = slot, slot.end
        return best

    def _other_width(self, task: int, slot: Slot, ready: float, *, narrower: bool) -> Slot:
        """Returns the slot that ends first among the next few widths, or `slot` if none ends sooner."""
        columns, widths, times = self.choice_columns[task], self.choice_widths[task], self.choice_times[task]
        if narrower:
            near = range(bisect_left(widths, self.widths[task]) - 1, -1, -1)
        else:
            near = range(bisect_right(widths, self.widths[task]), len(widths))
        area = (slot.end - slot.start) * self.widths[task] * (1.0 if narrower else AREA_GROWTH)
        speed = self.placement.speeds[0]
        for choice in near[:OTHER_WIDTHS]:
            if ready + times[choice] / speed < slot.end and (narrower or times[choice] * widths[choice] <= area):
                other = self._find(task, widths[choice], times[choice], ready, slot.end)
                if other is not None:
                    slot = other
                    self.columns[task], self.widths[task] = columns[choice], widths[choice]
        return slot

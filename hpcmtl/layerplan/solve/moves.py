"""Changes of a sequence of tasks and their widths, for the local search.

Half of the changes are at critical tasks, because no other change can make a plan shorter by itself. The others make
room for them. Moves of whole cones (all ancestors of a task, or all descendants) let one part of a family overtake
another, which no move of a single task does.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING

import numpy as np

from hpcmtl.layerplan.solve.sequence import Solution

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random

    from hpcmtl.layerplan.problem.planning_problem import PlanningProblem
    from hpcmtl.layerplan.solve.sequence import SequencePacking

STEPS = (1, 1, 2, 3, 5)  # useful widths by which a width changes
SHARES = (0.35, 0.15, 0.15, 0.15, 0.1, 0.1)  # of the moves, see `Neighbourhood`
WIDER = 0.6  # fraction of the width changes of critical tasks that widen


class Neighbourhood:
    """Draws changes of solutions of a problem.

    Attributes:
        critical: tasks whose delay would delay the end of the packing; set it after each change that is kept.
        place: (n,) position of each task in the sequence; likewise.
    """

    def __init__(self, problem: PlanningProblem, packing: SequencePacking, random: Random) -> None:
        self._random, self._packing = random, packing
        self._tasks: list[int] = np.argsort(problem.name_order).tolist()  # the same draws for any order of the input
        self._useful = [np.flatnonzero(row).tolist() for row in problem.useful]
        leaders = problem.rules.same_block
        self._leaders = [-1] * len(self._tasks) if leaders is None else leaders.tolist()
        self._priority = problem.priority.tolist()
        self._one_class = len(set(self._priority)) == 1
        before = problem.levels.before(np.arange(len(self._tasks)))
        self._before = [set(np.flatnonzero(column).tolist()) for column in before.T]
        self._after = [set(np.flatnonzero(row).tolist()) for row in before]
        self._joins = [task for task in self._tasks if len(self._before[task]) > 1]
        self._forks = [task for task in self._tasks if len(self._after[task]) > 1]
        self.critical: list[int] = []
        self.place: list[int] = [0] * len(self._tasks)
        self._moves: tuple[Callable[[Solution], Solution | None], ...] = (
            lambda of: self._width(of, self.critical, WIDER),
            lambda of: self._width(of, self._tasks, 1 / 2),
            lambda of: self._turn(of, self.critical, earlier=True),
            lambda of: self._turn(of, self._tasks, earlier=False),
            self._ancestors_first,
            self._descendants_last,
        )

    def draw(self, of: Solution) -> tuple[Solution, int] | None:
        """Returns another solution and the first position that differs; None if the draw changes nothing."""
        made = self._random.choices(self._moves, SHARES)[0](of)
        if made is None:
            return None
        sequence = made.sequence if made.sequence is of.sequence else self.in_turn(made.sequence)
        return Solution(sequence, made.columns), self._first_difference(of, sequence, made.columns)

    def in_turn(self, sequence: list[int]) -> list[int]:
        """Returns the sequence in which a task waits for no task of lower priority from the job file."""
        if self._one_class:
            return sequence
        place = {task: position for position, task in enumerate(sequence)}
        waiting = [len(each) for each in self._packing.producers]
        queue = [(-self._priority[task], place[task]) for task in sequence if not waiting[task]]
        heapify(queue)
        found = []
        while queue:
            task = sequence[heappop(queue)[1]]
            found.append(task)
            for consumer in self._packing.consumers[task]:
                waiting[consumer] -= 1
                if not waiting[consumer]:
                    heappush(queue, (-self._priority[consumer], place[consumer]))
        return found

    def _first_difference(self, of: Solution, sequence: list[int], columns: list[int]) -> int:
        if columns is of.columns:
            return next((i for i, (a, b) in enumerate(zip(of.sequence, sequence, strict=True)) if a != b), 0)
        return min(self.place[task] for task, (a, b) in enumerate(zip(of.columns, columns, strict=True)) if a != b)

    def _width(self, of: Solution, among: Sequence[int], wider: float) -> Solution | None:
        """Changes the width of one task, and of those that share its block."""
        task = self._random.choice(among)
        useful = self._useful[task]
        if self._leaders[task] >= 0 or of.columns[task] not in useful:
            return None
        here = useful.index(of.columns[task])
        step = self._random.choice(STEPS)
        there = here + step if self._random.random() < wider else here - step
        column = useful[min(max(there, 0), len(useful) - 1)]
        if column == of.columns[task]:
            return None
        columns = of.columns[:]
        columns[task] = column
        for follower in of.sequence[self.place[task] :] if max(self._leaders) >= 0 else ():
            if self._leaders[follower] >= 0:
                columns[follower] = columns[self._leaders[follower]]
        return Solution(of.sequence, columns)

    def _turn(self, of: Solution, among: Sequence[int], *, earlier: bool) -> Solution | None:
        """Moves one task to another position between its producers and its consumers."""
        task = self._random.choice(among)
        here, place = self.place[task], self.place
        first = max((place[producer] for producer in self._packing.producers[task]), default=-1) + 1
        last = min((place[consumer] for consumer in self._packing.consumers[task]), default=len(place)) - 1
        there = self._random.randint(first, here if earlier else last)
        if there == here:
            return None
        sequence = of.sequence[:]
        sequence.insert(there, sequence.pop(here))
        return Solution(sequence, of.columns)

    def _ancestors_first(self, of: Solution) -> Solution | None:
        """Moves all that a task waits for before the others, from a random position on."""
        if not self._joins:
            return None
        task = self._random.choice(self._joins)
        last = self.place[task]
        return self._parted(of, self._random.randint(0, last), last + 1, self._before[task] | {task})

    def _descendants_last(self, of: Solution) -> Solution | None:
        """Moves all that waits for a task behind the others, up to a random position."""
        if not self._forks:
            return None
        task = self._random.choice(self._forks)
        first, last = self.place[task] + 1, self._random.randint(self.place[task] + 1, len(self.place))
        return self._parted(of, first, last, set(of.sequence[first:last]) - self._after[task])

    @staticmethod
    def _parted(of: Solution, first: int, last: int, ahead: set[int]) -> Solution | None:
        part = of.sequence[first:last]
        parted = [task for task in part if task in ahead] + [task for task in part if task not in ahead]
        if part == parted:
            return None
        return Solution(of.sequence[:first] + parted + of.sequence[last:], of.columns)

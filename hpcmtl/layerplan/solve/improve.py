"""Anytime local search over sequences and widths: the longer it may search, the shorter the plan, and never longer.

Descent with sideways steps from the best plan. Where nothing was gained for long, some changes are kept whatever they
cost, within a limit, and the descent starts from there (iterated local search: Lourenco, Martin, Stuetzle 2003, section
2). The search is deterministic: it ends by counted work, not by the clock, and a larger budget repeats the steps
of a smaller one.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING

import numpy as np

from hpcmtl.layerplan.solve.moves import Neighbourhood
from hpcmtl.layerplan.solve.sequence import SequencePacking, Solution

if TYPE_CHECKING:
    from hpcmtl.layerplan.problem.planning_problem import PlanningProblem
    from hpcmtl.layerplan.solve.packing import Schedule
    from hpcmtl.layerplan.solve.sequence import Trial

SEED = 0  # fixed: the same problem always gives the same plan
PATIENCE = 10  # moves without a gain, times the number of tasks, after which the descent starts elsewhere
MOLDED = 0.5  # fraction of the trials in which other tasks may change their widths too
KICKS = 4  # number of moves that are then kept, whatever they cost
KICK_LIMIT = 1.03  # makespan that they may lead to, as a factor of the best
# Number of descents without a gain that end the search, and the number of pairs of tasks for one more.
HOPELESS, HOPELESS_PAIRS = 2, 16
DRAWN, KEPT = 300, 29  # work of drawing a change, and of keeping one for each task, in the unit of `PLACED`
EQUAL = 1e-12  # relative difference of makespans by rounding


def improve(problem: PlanningProblem, best: Schedule, enough: float, work: float) -> Schedule:
    """Changes the width or the turn of some tasks at a time and keeps a change that is not worse.

    Args:
        problem: the tasks.
        best: start of the search, without barriers.
        enough: makespan in seconds at which the search ends.
        work: largest `SequencePacking.work`.
    """
    if not problem.names or best.makespan <= enough:
        return best
    search = _Search(problem, best)
    patience, futile = PATIENCE * len(problem.names), 0
    hopeless = HOPELESS + len(problem.names) ** 2 // HOPELESS_PAIRS
    while futile < hopeless and search.packing.work < work and search.best.makespan > enough:
        before = search.best.makespan
        search.descend(patience, enough, work)
        futile = 0 if search.best.makespan < before else futile + 1
        search.kick(work)
    return search.best


class _Search:
    """Holds the present solution of the search and the best schedule."""

    def __init__(self, problem: PlanningProblem, best: Schedule) -> None:
        self._random = Random(SEED)
        self.packing, self.best = SequencePacking(problem), best
        self._tasks, self._widths = range(len(problem.names)), problem.widths.tolist()
        self._order = problem.name_order.tolist()
        self._consumers = [frozenset(consumers) for consumers in self.packing.consumers]
        self._near = Neighbourhood(problem, self.packing, self._random)
        order = best.sequence or np.lexsort((problem.name_order, problem.levels.depths, best.start)).tolist()
        self._home = self._at = Solution(self._near.in_turn(list(order)), best.columns.tolist())
        self._return()

    def descend(self, patience: int, enough: float, work: float) -> None:
        """Keeps changes that are not worse, until `patience` of them in turn were no better."""
        waited = 0
        while waited < patience and self.packing.work < work and self.best.makespan > enough:
            waited += 1
            before = self.packing.packed.makespan
            if self._try(before) and self.packing.packed.makespan < before * (1 - EQUAL):
                waited = 0

    def kick(self, work: float) -> None:
        """Returns to the best solution and keeps some changes within `KICK_LIMIT`."""
        self._return()
        kept = 0
        while kept < KICKS and self.packing.work < work:
            kept += self._try(self._level * KICK_LIMIT)

    def _try(self, limit: float) -> bool:
        """Draws a change and keeps it if its makespan is within a limit."""
        drawn = self._near.draw(self._at)
        self.packing.work += DRAWN
        if drawn is None:
            return False
        made, since = drawn
        molds = self._random.random() < MOLDED
        trial = self.packing.trial(made, since, limit, molds=molds)
        if trial is not None:
            self._keep(Solution(made.sequence, trial.columns), trial)
        return trial is not None

    def _return(self) -> None:
        """Packs the best solution as a whole."""
        self._at = self._home
        trial = self.packing.trial(self._at, 0, np.inf)
        assert trial is not None
        self._level = trial.makespan
        self._keep(self._home, trial)

    def _keep(self, made: Solution, trial: Trial) -> None:
        self.packing.accept(trial)
        self._at = made
        for position, task in enumerate(made.sequence):
            self._near.place[task] = position
        self._near.critical = self._critical()
        if trial.makespan <= self._level:
            self._home, self._level = made, trial.makespan
        if trial.makespan < self.best.makespan:
            self.best = replace(self.packing.schedule(), sequence=tuple(made.sequence))

    def _critical(self) -> list[int]:
        """Returns the tasks that delay the end: chains of tasks on the same ranks or by edges, without gaps."""
        packed, place, widths = self.packing.packed, self._near.place, self._widths
        columns, found = self._at.columns, list[int]()
        starts: dict[float, list[int]] = {}
        for task in sorted(self._tasks, key=lambda each: (packed.start[each], place[each]), reverse=True):
            end, first, consumers = packed.end[task], packed.first_rank[task], self._consumers[task]
            last = first + widths[columns[task]]
            if end >= packed.makespan or any(
                other in consumers
                or (packed.first_rank[other] < last and first < packed.first_rank[other] + widths[columns[other]])
                for other in starts.get(end, ())
            ):
                found.append(task)
                starts.setdefault(packed.start[task], []).append(task)
        self.packing.work += KEPT * len(place)
        return sorted(found, key=self._order.__getitem__)

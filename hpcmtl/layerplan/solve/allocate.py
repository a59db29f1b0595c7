"""Allocation: the number of ranks of each task, before it is known when and where the task runs.

The search is a global trade-off between critical path and area: tasks on long paths get more ranks. Ranks are never
shared out level by level, which was measured to cost a factor of 1.5 to 2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from hpcmtl.arrays import Floats, Ints
    from hpcmtl.layerplan.problem.planning_problem import PlanningProblem

UNIFORM_PRICES = np.geomspace(1e-6, 10.0, 12)
# Rounds of the price iteration for one value of contention. A round costs some NumPy calls per depth of the graph, so
# flat graphs may have more rounds; small graphs are cheap in any case.
FEWEST_ROUNDS, MOST_ROUNDS = 24, 150
ROUNDS_AND_DEPTHS = 240
SMALL_TASKS, SMALL_ROUNDS = 50, 100
# A wide task waits until many ranks are free at once, and free ranks wait for it: with contention c, p of P ranks cost
# as much as p (1 + c p / P). The best value depends on the graph, so an allocation is searched for each. The first
# value is the true price, which gives the lower bound.
CONTENTION = (0.0, 2.0)
LATER_ROUNDS = 0.4  # fraction of the rounds for later values, which start from the prices of the first
EVENING_ROUNDS = 8
RELAXED_TASKS = 250  # graphs up to this size get relaxed allocations
# Factors of the longest path: at equality of path and area there is no slack for the loss in packing.
RELAXATIONS = (1.03, 1.065, 1.12)
# Independent tasks are packed best with the widths that meet one deadline. A fine search is needed to find the
# deadline, because the loss in packing jumps with it (Turek, Wolf and Yu 1992).
FLAT_TASKS = 1000
FLAT_RELAXATIONS = tuple(1 + k / 100 for k in range(1, 13))
NO_TIME = 1e-300  # seconds; below it there is nothing to trade off


class Prices(NamedTuple):
    """Holds Lagrange multipliers for time and area; see `bounds.price_bound`.

    Attributes:
        flow: (n,) unit flow from sources to sinks, see `Levels.soft_flow`.
        path_weight: weight of the critical path against the area, from 0 to 1.
    """

    flow: Floats
    path_weight: float


class Allocations(NamedTuple):
    """Holds the result of the search.

    Attributes:
        columns: best allocation for each entry of `CONTENTION`, (n,) columns of the problem's table.
        relaxed: the first allocation with longer paths and less area, for each factor of `relaxations`.
        prices: the multipliers with the highest lower bound.
        windowed: the allocation of `price_windows`; None for graphs with very many tasks.
    """

    columns: tuple[Ints, ...]
    relaxed: tuple[Ints, ...]
    prices: Prices | None
    windowed: Ints | None = None


def allocate(problem: PlanningProblem, most_rounds: int = MOST_ROUNDS) -> Allocations:
    """Returns allocations with a small max(critical path, area / ranks).

    The method takes averaged subgradient steps on the Lagrangian dual of the discrete time-cost trade-off, with prices
    from the smoothed critical path. Smoothing and step length decrease with the rounds.

    Args:
        problem: the tasks.
        most_rounds: maximum number of rounds for each entry of `CONTENTION`.
    """
    search = _Search(problem)
    rounds = min(_rounds(problem), most_rounds)
    best = tuple(
        search.run(contention, int(rounds * LATER_ROUNDS) if i else rounds) for i, contention in enumerate(CONTENTION)
    )
    return Allocations(
        tuple(search.columns(choice) for choice in best),
        tuple(search.columns(search.relaxed(best[0], factor)) for factor in relaxations(problem)),
        search.prices,
    )


def relaxations(problem: PlanningProblem) -> tuple[float, ...]:
    """Returns factors of relaxation of the critical path; none for large graphs, where it was measured not to pay."""
    if not len(problem.levels.edges) and len(problem.names) <= FLAT_TASKS:
        return FLAT_RELAXATIONS
    return RELAXATIONS if len(problem.names) <= RELAXED_TASKS else ()


def _rounds(problem: PlanningProblem) -> int:
    if len(problem.names) <= SMALL_TASKS:
        return SMALL_ROUNDS
    depth = int(problem.levels.depths.max())
    return min(max(ROUNDS_AND_DEPTHS // (depth + 2), FEWEST_ROUNDS), MOST_ROUNDS)


def allocation(problem: PlanningProblem, found: Allocations, contention: int, cap: float) -> Ints:
    """Returns an allocation with no group wider than a part of the ranks, as (n,) columns.

    Args:
        problem: the tasks.
        found: result of `allocate`.
        contention: index into `CONTENTION`.
        cap: widest group as a fraction of all ranks.
    """
    return capped(problem, found.columns[contention], cap * problem.ranks)


def capped(problem: PlanningProblem, columns: Ints, cap: float) -> Ints:
    """Limits all tasks to `cap` ranks, or to their smallest width if it is larger (Lepere et al. 2001)."""
    at_most = np.searchsorted(problem.widths, max(cap, 1.0), side="right") - 1
    wanted = np.minimum(columns, at_most)
    widest = np.take_along_axis(problem.widest_useful, wanted[:, None], axis=1)[:, 0]
    result: Ints = np.where(widest >= 0, widest, problem.useful.argmax(axis=1))
    return result


class _Allocation(NamedTuple):
    """Choices of the tasks as (n,) indices, and the two bounds on the time that they take.

    Attributes:
        choice: choice of each task.
        path: seconds of the longest path.
        area: seconds that all ranks together need for the work.
    """

    choice: Ints
    path: float
    area: float

    @property
    def bound(self) -> float:
        """Lower bound on the seconds of each schedule of these choices."""
        return max(self.path, self.area)


class _Search:
    """Runs the price iteration over the choices of a problem; all allocations here are (n,) indices of choices."""

    def __init__(self, problem: PlanningProblem) -> None:
        self.problem = problem
        self.tasks = np.arange(len(problem.names))
        choices = problem.choices
        # A missing choice costs more than everything together; the cost is finite because a price may be zero.
        never = 1e9 * float(np.where(np.isfinite(choices.times), choices.times, 0.0).sum() + 1.0)
        self.times = np.where(np.isfinite(choices.times), choices.times, never)
        self.widths = np.maximum(choices.widths, 1)
        self.flow: Floats | None = None
        self.log_weight = 0.0
        self.prices: Prices | None = None
        self.promised = 0.0

    def run(self, contention: float, rounds: int) -> Ints:
        """Iterates at one value of contention and returns the best allocation."""
        problem = self.problem
        areas = self.times * (self.widths * (1 + contention * self.widths / problem.ranks)) / problem.capacity
        tried = [self._measured(choice, areas) for choice in self._first(areas)]
        best = newest = min(tried, key=lambda each: each.bound)
        for k in range(rounds):
            if newest.path < NO_TIME:
                break
            seconds = self.times[self.tasks, newest.choice]
            flow = problem.levels.soft_flow(seconds, newest.bound * 0.02 / (1 + k / 8))
            mean = flow if self.flow is None else self.flow + max(0.08, 2 / (k + 2)) * (flow - self.flow)
            self.flow = mean
            self.log_weight = float(
                np.clip(self.log_weight + 1.5 / (1 + k / 6) * np.log(newest.path / newest.area), -30, 30)
            )
            prices = Prices(mean, self._weight())
            costs = self._costs(prices, areas)
            choice = costs.argmin(axis=1)
            promised = float(costs[self.tasks, choice].sum())
            if contention == 0 and promised > self.promised:  # an average of unit flows is a unit flow
                self.promised, self.prices = promised, prices
            newest = self._measured(choice, areas)
            if newest.bound < best.bound:
                best = newest
        return self._balanced(best, areas)

    def _balanced(self, best: _Allocation, areas: Floats) -> Ints:
        """Gives slack back: each task takes the cheapest width with which its longest path fits a target time.

        A task may take t T / l seconds, where l is the length of the longest path through it. No path is then longer
        than the target T, because its length is at most the l of each of its tasks. The target moves to where path and
        area are equal.
        """
        newest = best
        for _ in range(EVENING_ROUNDS):
            if newest.path < NO_TIME:
                break
            choice = self._fitted(newest.choice, (newest.path + newest.area) / 2, areas)
            newest = self._measured(choice, areas)
            if newest.bound < best.bound:
                best = newest
        return best.choice

    def relaxed(self, choice: Ints, factor: float) -> Ints:
        """Lets the longest path take `factor` times as long, for less area."""
        areas = self.times * self.widths
        return self._fitted(choice, factor * self._measured(choice, areas).path, areas)

    def _fitted(self, choice: Ints, target: float, areas: Floats) -> Ints:
        """Returns the cheapest choices with which every path fits a target, in seconds."""
        levels, seconds = self.problem.levels, self.times[self.tasks, choice]
        limit = seconds * target / np.maximum(levels.through(seconds), NO_TIME)
        fits = self.times <= limit[:, None] * (1 + 1e-12)
        cheapest = np.where(fits, areas, np.inf).argmin(axis=1)
        fitted: Ints = np.where(fits.any(axis=1), cheapest, self.times.argmin(axis=1))
        return fitted

    def _first(self, areas: Floats) -> list[Ints]:
        """Returns the starting points of the iteration: allocations for one uniform price of time."""
        if self.flow is not None:
            return [self._costs(Prices(self.flow, self._weight()), areas).argmin(axis=1)]
        return [(self.times + price * self.problem.ranks * areas).argmin(axis=1) for price in UNIFORM_PRICES]

    def columns(self, choice: Ints) -> Ints:
        """Converts an allocation to (n,) columns of the problem's table."""
        columns: Ints = np.take_along_axis(self.problem.choices.columns, choice[:, None], axis=1)[:, 0]
        return columns

    def _weight(self) -> float:
        return 1 / (1 + float(np.exp(-self.log_weight)))

    def _costs(self, prices: Prices, areas: Floats) -> Floats:
        """Returns (n, C) the cost of every choice."""
        costs: Floats = self.times * (prices.path_weight * prices.flow)[:, None] + areas * (1 - prices.path_weight)
        return costs

    def _measured(self, choice: Ints, areas: Floats) -> _Allocation:
        path = float(self.problem.levels.bottom(self.times[self.tasks, choice]).max())
        return _Allocation(choice, path, float(areas[self.tasks, choice].sum()))

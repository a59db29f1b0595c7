"""How many ranks each task should have, before it is known when and where it runs.

A global trade-off of critical path against area: whoever lies on long ways is worth more ranks. Ranks are never shared
out level by level, which was measured to cost a factor of 1.5 to 2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from hpcmtl.arrays import Floats, Ints
    from hpcmtl.layerplan.problem.planning_problem import PlanningProblem

UNIFORM_PRICES = np.geomspace(1e-6, 10.0, 12)
# Rounds of the price iteration for one crowding. A round costs some calls of NumPy for each depth of the graph, so that
# flat graphs may have more; small ones are worth it anyhow.
FEWEST_ROUNDS, MOST_ROUNDS = 24, 150
ROUNDS_AND_DEPTHS = 240
SMALL_TASKS, SMALL_ROUNDS = 50, 100
# A wide task waits until many ranks are free at once, and they wait for it: with crowding c, p of P ranks cost as much
# as p (1 + c p / P). What is best depends on the graph, so an allocation is searched for each. The first is the true
# price, for the bound.
CONTENTION = (0.0, 2.0)
LATER_ROUNDS = 0.4  # part of them for the other crowding, which goes on from the prices of the first
EVENING_ROUNDS = 8
RELAXED_TASKS = 250  # graphs up to this size are given
RELAXATIONS = (
    1.03,
    1.065,
    1.12,
)  # of the longest way: where path and area meet, nothing is left for what packing loses
# Tasks that do not depend on each other are packed best with the widths that keep one deadline, and it takes a fine
# search to find out which: what packing loses jumps with it (Turek, Wolf and Yu 1992).
FLAT_TASKS = 1000
FLAT_RELAXATIONS = tuple(1 + k / 100 for k in range(1, 13))
NO_TIME = 1e-300  # seconds: all tasks together take less, and there is nothing to trade off


class Prices(NamedTuple):
    """What time and ranks are worth; see `bounds.price_bound`.

    Attributes:
        flow: (n,) unit flow from sources to sinks, see `Levels.soft_flow`.
        path_weight: weight of the critical path against the area, from 0 to 1.
    """

    flow: Floats
    path_weight: float


class Allocations(NamedTuple):
    """What the search found.

    Attributes:
        columns: for each crowding the best allocation, (n,) columns of the problem's table.
        relaxed: the first of them with longer ways and less area, for each of `relaxations`.
        prices: those that promise the highest bound.
    """

    columns: tuple[Ints, ...]
    relaxed: tuple[Ints, ...]
    prices: Prices | None


def allocate(problem: PlanningProblem, most_rounds: int = MOST_ROUNDS) -> Allocations:
    """Find allocations with a small max(critical path, area / ranks), in at most so many rounds for each crowding.

    Prices from the smoothed critical path: averaged subgradient steps on the Lagrangian dual of the discrete time-cost
    trade-off. The smoothing falls and the steps shorten with the rounds.
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
    """By how much the longest way is stretched: not at all for large graphs, for which it was measured not to pay."""
    if not len(problem.levels.edges) and len(problem.names) <= FLAT_TASKS:
        return FLAT_RELAXATIONS
    return RELAXATIONS if len(problem.names) <= RELAXED_TASKS else ()


def _rounds(problem: PlanningProblem) -> int:
    if len(problem.names) <= SMALL_TASKS:
        return SMALL_ROUNDS
    depth = int(problem.levels.depths.max())
    return min(max(ROUNDS_AND_DEPTHS // (depth + 2), FEWEST_ROUNDS), MOST_ROUNDS)


def allocation(problem: PlanningProblem, found: Allocations, contention: int, cap: float) -> Ints:
    """The allocation of one of the crowdings, with no group wider than a part of the ranks; (n,) columns."""
    return capped(problem, found.columns[contention], cap * problem.living)


def capped(problem: PlanningProblem, columns: Ints, cap: float) -> Ints:
    """Narrow all tasks to at most `cap` ranks, or to their fewest if those are more (Lepere et al. 2001)."""
    at_most = np.searchsorted(problem.widths, max(cap, 1.0), side="right") - 1
    wanted = np.minimum(columns, at_most)
    widest = np.take_along_axis(problem.widest_useful, wanted[:, None], axis=1)[:, 0]
    result: Ints = np.where(widest >= 0, widest, problem.useful.argmax(axis=1))
    return result


class _Search:
    """The price iteration over the choices of a problem; all allocations here are (n,) indices of choices."""

    def __init__(self, problem: PlanningProblem) -> None:
        self.problem = problem
        self.tasks = np.arange(len(problem.names))
        choices = problem.choices
        # What is no choice is dearer than everything together, and finite, since a price may be zero.
        never = 1e9 * float(np.where(np.isfinite(choices.times), choices.times, 0.0).sum() + 1.0)
        self.times = np.where(np.isfinite(choices.times), choices.times, never)
        self.widths = np.maximum(choices.widths, 1)
        self.flow: Floats | None = None
        self.log_weight = 0.0
        self.prices: Prices | None = None
        self.promised = 0.0

    def run(self, contention: float, rounds: int) -> Ints:
        """Iterate at one crowding; return the best allocation."""
        problem = self.problem
        areas = self.times * (self.widths * (1 + contention * self.widths / problem.living)) / problem.capacity
        tried = [self._measured(choice, areas) for choice in self._first(areas)]
        best = min(tried, key=lambda entry: max(entry[1:]))
        choice, path, area = best
        for k in range(rounds):
            if path < NO_TIME:
                break
            seconds = self.times[self.tasks, choice]
            flow = problem.levels.soft_flow(seconds, max(path, area) * 0.02 / (1 + k / 8))
            mean = flow if self.flow is None else self.flow + max(0.08, 2 / (k + 2)) * (flow - self.flow)
            self.flow = mean
            self.log_weight = float(np.clip(self.log_weight + 1.5 / (1 + k / 6) * np.log(path / area), -30, 30))
            prices = Prices(mean, self._weight())
            costs = self._costs(prices, areas)
            choice = costs.argmin(axis=1)
            promised = float(costs[self.tasks, choice].sum())
            if contention == 0 and promised > self.promised:  # averages of unit flows are unit flows
                self.promised, self.prices = promised, prices
            choice, path, area = self._measured(choice, areas)
            if max(path, area) < max(best[1:]):
                best = choice, path, area
        return self._evened(best, areas)

    def _evened(self, best: tuple[Ints, float, float], areas: Floats) -> Ints:
        """Give slack back: each task takes the cheapest width that lets its longest way fit a target.

        A task may take t T / l seconds, where l is the longest way through it: no way is then longer than the target T,
        since the l of all its tasks are at least its length. The target moves to where path and area meet.
        """
        choice, path, area = best
        for _ in range(EVENING_ROUNDS):
            if path < NO_TIME:
                break
            choice = self._fitted(choice, (path + area) / 2, areas)
            choice, path, area = self._measured(choice, areas)
            if max(path, area) < max(best[1:]):
                best = choice, path, area
        return best[0]

    def relaxed(self, choice: Ints, factor: float) -> Ints:
        """Let the longest way take `factor` times as long, for less area."""
        areas = self.times * self.widths
        return self._fitted(choice, factor * self._measured(choice, areas)[1], areas)

    def _fitted(self, choice: Ints, target: float, areas: Floats) -> Ints:
        """The cheapest choices with which every way fits a target, in seconds."""
        levels, seconds = self.problem.levels, self.times[self.tasks, choice]
        limit = seconds * target / np.maximum(levels.through(seconds), NO_TIME)
        fits = self.times <= limit[:, None] * (1 + 1e-12)
        cheapest = np.where(fits, areas, np.inf).argmin(axis=1)
        fitted: Ints = np.where(fits.any(axis=1), cheapest, self.times.argmin(axis=1))
        return fitted

    def _first(self, areas: Floats) -> list[Ints]:
        """Allocations at which every task pays the same price: where the iteration may begin."""
        if self.flow is not None:
            return [self._costs(Prices(self.flow, self._weight()), areas).argmin(axis=1)]
        return [(self.times + price * self.problem.ranks * areas).argmin(axis=1) for price in UNIFORM_PRICES]

    def columns(self, choice: Ints) -> Ints:
        """An allocation as (n,) columns of the problem's table."""
        columns: Ints = np.take_along_axis(self.problem.choices.columns, choice[:, None], axis=1)[:, 0]
        return columns

    def _weight(self) -> float:
        return 1 / (1 + float(np.exp(-self.log_weight)))

    def _costs(self, prices: Prices, areas: Floats) -> Floats:
        """(n, C) what every choice costs."""
        costs: Floats = self.times * (prices.path_weight * prices.flow)[:, None] + areas * (1 - prices.path_weight)
        return costs

    def _measured(self, choice: Ints, areas: Floats) -> tuple[Ints, float, float]:
        path = float(self.problem.levels.bottom(self.times[self.tasks, choice]).max())
        return choice, path, float(areas[self.tasks, choice].sum())

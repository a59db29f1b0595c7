"""Prices of time and area over the paths and the windows of a graph: a lower bound, and the widths that go with it.

A window is a set of tasks between two others: all that depend on the one and precede the other. They run between them,
so a window takes at least their area over all ranks. The longest path over tasks AND windows is a lower bound of every
plan with the same widths (energetic reasoning as in cumulative scheduling: Baptiste, Le Pape, Nuijten 1999). The least
such path over all widths is a linear program once widths are convexified (the time-cost trade-off of Lepere, Trystram,
Woeginger 2001, with windows). The prices solve it as a zero-sum game: a flow over paths against the cheapest widths
(multiplicative weights, Freund and Schapire 1999; Plotkin, Shmoys, Tardos 1995).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hpcmtl.layerplan.solve.allocate import UNIFORM_PRICES
from hpcmtl.taskgraph.levels import Levels

if TYPE_CHECKING:
    from hpcmtl.arrays import Floats, Ints
    from hpcmtl.layerplan.problem.planning_problem import PlanningProblem

PRICED_TASKS = 1000  # above: the pairs of tasks take too much memory
MILESTONES, MOST_WINDOWS = 12, 60
ROUNDS = 100
# The flow follows the mean lengths so far, smoothed at this part of the makespan, which falls with the rounds. 100
# rounds were mostly within 0.2 % of the linear program's optimum; a flow that follows the newest lengths, up to 9 %.
SMOOTHING, SMOOTHING_DECAY = 0.3, 0.75
MEASURED_EVERY = 4  # rounds


class WindowPrices(NamedTuple):
    """Holds Lagrange multipliers of a unit flow over tasks and windows.

    Attributes:
        time: (n,) price of a second of each task.
        area: (n,) price of the area of each task over all ranks, in seconds: the sum over its windows.
        columns: (n,) the allocation with the shortest longest path that was found, as columns of the table.
    """

    time: Floats
    area: Floats
    columns: Ints


def price_windows(problem: PlanningProblem, rounds: int = ROUNDS) -> WindowPrices | None:
    """Returns the prices with the highest bound; None for graphs without tasks or with too many.

    Args:
        problem: the tasks.
        rounds: number of rounds of the game.
    """
    if not 0 < len(problem.names) <= PRICED_TASKS:
        return None
    game, bound = _Game(problem), 0.0
    mean = game.lengths(game.first)
    shortest = game.longest(mean)
    best, smoothing = (shortest, game.first), shortest
    if shortest <= 0:
        return None
    flow, prices, weights = np.zeros(len(mean)), (np.zeros(0), np.zeros(0)), 0.0
    for k in range(rounds):
        newest = game.levels.soft_flow(mean, smoothing * SMOOTHING / (1 + k) ** SMOOTHING_DECAY)
        weights += k + 1
        flow = flow + (k + 1) / weights * (newest - flow)  # an average of unit flows is a unit flow
        for each in (flow, newest) if k % MEASURED_EVERY == 0 or k == rounds - 1 else (newest,):
            time, area = game.prices(each)
            choice, cost = game.cheapest(time, area)
            if cost > bound:
                bound, prices = cost, (time, area)
        lengths = game.lengths(choice)
        mean = mean + (k + 1) / weights * (lengths - mean)
        if k % MEASURED_EVERY == 0:
            smoothing = min(smoothing, game.longest(mean))
            best = min(best, (game.longest(lengths), choice), key=lambda pair: pair[0])
    if not len(prices[0]):  # times so short that all costs are 0
        return None
    columns = np.take_along_axis(problem.choices.columns, best[1][:, None], axis=1)[:, 0]
    return WindowPrices(*prices, columns)


def window_price_bound(problem: PlanningProblem, prices: WindowPrices) -> float:
    """Returns the sum of the tasks' lowest costs in seconds, over all allowed widths; a bound for any unit flow."""
    price = prices.time[:, None] / problem.top_speed + prices.area[:, None] * problem.widths / problem.capacity
    costs = np.where(problem.allowed, np.where(problem.allowed, problem.times, 0.0) * price, np.inf)
    return float(costs.min(axis=1).sum())


@dataclass(frozen=True)
class _Windows:
    """Holds windows, the first of which has all tasks.

    Attributes:
        members: (W, n) 1.0 for the tasks in each window.
        edges: (m, 2) edges between tasks and windows; window k is node n + k.
    """

    members: Floats
    edges: Ints


class _Game:
    """Holds the two players' choices; all allocations here are (n,) indices of the problem's choices."""

    def __init__(self, problem: PlanningProblem) -> None:
        choices, self._tasks = problem.choices, np.arange(len(problem.names))
        finite = np.isfinite(choices.times)
        never = 1e9 * float(np.where(finite, choices.times, 0.0).sum() + 1.0)
        times = np.where(finite, choices.times, never)
        self.times, self.areas = times / problem.top_speed, times * np.maximum(choices.widths, 1) / problem.capacity
        windows = _windows(problem)
        self._members = windows.members
        edges = np.concatenate([problem.levels.edges.reshape(-1, 2), windows.edges])
        self.levels = Levels(len(problem.names) + len(windows.members), edges)
        starts = [(self.times + price * problem.ranks * self.areas).argmin(axis=1) for price in UNIFORM_PRICES]
        self.first: Ints = min(starts, key=lambda choice: self.longest(self.lengths(choice)))

    def lengths(self, choice: Ints) -> Floats:
        """Returns (n + W,) seconds of tasks and of windows."""
        areas = self.areas[self._tasks, choice]
        return np.concatenate([self.times[self._tasks, choice], self._members @ areas])

    def longest(self, lengths: Floats) -> float:
        """Returns the seconds of the longest path over tasks and windows."""
        return float(self.levels.bottom(lengths).max())

    def prices(self, flow: Floats) -> tuple[Floats, Floats]:
        """Returns the price of each task's time and area under a flow (n + W,)."""
        return flow[: len(self._tasks)], flow[len(self._tasks) :] @ self._members

    def cheapest(self, time: Floats, area: Floats) -> tuple[Ints, float]:
        """Returns the cheapest choices, and the sum of their costs in seconds."""
        costs = self.times * time[:, None] + self.areas * area[:, None]
        choice: Ints = costs.argmin(axis=1)
        return choice, float(costs[self._tasks, choice].sum())


def _windows(problem: PlanningProblem) -> _Windows:
    """Returns the windows with the most work between those tasks that have the most work before and after them."""
    count, areas = len(problem.names), problem.areas.min(axis=1)
    before = problem.levels.before(np.arange(count))  # (n, n) True where the first precedes the second
    related = areas @ before + before @ areas
    marked = np.lexsort((problem.name_order, -related))[:MILESTONES]
    ends = [(-1, int(v)) for v in marked] + [(int(u), -1) for u in marked]
    ends += [(int(u), int(v)) for u in marked for v in marked if before[u, v]]
    every = np.ones(count, dtype=np.bool_)
    sets = [(before[u] if u >= 0 else every) & (before[:, v] if v >= 0 else every) for u, v in ends]
    sizes = [float(areas @ members) for members in sets]
    chosen = [k for k in np.argsort(-np.array(sizes), kind="stable").tolist() if sets[k].sum() > 1]
    chosen = chosen[: MOST_WINDOWS - 1]
    pairs = [(ends[k][0], count + 1 + i) for i, k in enumerate(chosen) if ends[k][0] >= 0]
    pairs += [(count + 1 + i, ends[k][1]) for i, k in enumerate(chosen) if ends[k][1] >= 0]
    members = np.array([every, *(sets[k] for k in chosen)], dtype=np.float64)
    return _Windows(members, np.array(pairs, dtype=np.int64).reshape(-1, 2))

"""How many ranks each task should have, before it is known when and where it runs.

A global trade-off of critical path against area: whoever lies on long ways is worth more ranks. Ranks are never shared
out level by level, which was measured to cost a factor of 1.5 to 2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hpcmtl.layerplan.bounds import priced_costs, simple_bound

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hpcmtl.layerplan.problem import PlanningProblem
    from hpcmtl.taskgraph.levels import Floats, Ints

UNIFORM_PRICES = np.geomspace(1e-6, 10.0, 24)
ROUNDS = 30  # of the price iteration
NO_TIME = 1e-300  # seconds: all tasks together take less, and there is nothing to trade off
ROUNDING = 1e-12  # part of a bound that sums of floats may get wrong


class Allocations(NamedTuple):
    """Allocations worth packing, and what their search proved.

    Attributes:
        columns: each (n,) columns of the problem's table; the most promising first.
        lower_bound: seconds that no plan can be faster than.
    """

    columns: tuple[Ints, ...]
    lower_bound: float


def allocate(problem: PlanningProblem) -> Allocations:
    """Find allocations with a small max(critical path, area / ranks)."""
    best: dict[bytes, tuple[float, Ints]] = {}
    bound = simple_bound(problem)
    for columns in _uniform(problem):
        best[columns.tobytes()] = (max(path_and_area(problem, columns)), columns)
    start = min(best.values(), key=lambda entry: entry[0])[1]
    for columns, proved in _critical_flow(problem, start):
        best[columns.tobytes()] = (max(path_and_area(problem, columns)), columns)
        bound = max(bound, proved)
    ordered = sorted(best.values(), key=lambda entry: entry[0])
    return Allocations(tuple(columns for _, columns in ordered), bound * (1 - ROUNDING))


def path_and_area(problem: PlanningProblem, columns: Ints) -> tuple[float, float]:
    """Critical path of an allocation, and its area over the ranks, both in seconds."""
    seconds, widths = problem.at(columns)
    return float(problem.levels.bottom(seconds).max()), float(seconds @ widths) / problem.ranks


def capped(problem: PlanningProblem, columns: Ints, cap: float) -> Ints:
    """Narrow all tasks to at most `cap` ranks, or to their fewest if those are more (Lepere et al. 2001)."""
    at_most = np.searchsorted(problem.widths, max(cap, 1.0), side="right") - 1
    wanted = np.minimum(columns, at_most)
    column = np.arange(len(problem.widths))
    fits = problem.useful & (column <= wanted[:, None])
    widest = np.where(fits, column, -1).max(axis=1)
    result: Ints = np.where(widest >= 0, widest, problem.useful.argmax(axis=1))
    return result


def _uniform(problem: PlanningProblem) -> Iterator[Ints]:
    """Every task pays the same price for a rank-second, over a range of prices."""
    for price in UNIFORM_PRICES:
        yield (problem.times + price * problem.areas).argmin(axis=1)


def _critical_flow(problem: PlanningProblem, columns: Ints) -> Iterator[tuple[Ints, float]]:
    """Prices from the smoothed critical path: averaged subgradient steps on the Lagrangian dual.

    Each round yields an allocation and the bound that its prices prove (`bounds.price_bound`). The smoothing falls and
    the steps shorten with the rounds; averages of unit flows are unit flows, which keeps every bound valid.
    """
    mean: Floats | None = None
    log_weight = 0.0
    for k in range(ROUNDS):
        path, area = path_and_area(problem, columns)
        if path < NO_TIME:
            return
        seconds, _ = problem.at(columns)
        flow = problem.levels.soft_flow(seconds, max(path, area) * 0.02 / (1 + k / 8))
        mean = flow if mean is None else mean + max(0.08, 2 / (k + 2)) * (flow - mean)
        log_weight += 1.5 / (1 + k / 6) * float(np.log(path / area))
        costs = priced_costs(problem, mean, 1 / (1 + float(np.exp(-log_weight))))
        columns = costs.argmin(axis=1)
        yield columns, float(costs.min(axis=1).sum())

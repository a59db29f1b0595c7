"""The bound by prices of windows: certified, above the simple ones where it can be, and never above a plan."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import problems

from hpcmtl.errors import InputError
from hpcmtl.layerplan.problem.constraints import apply_constraints
from hpcmtl.layerplan.problem.planning_problem import PlanningProblem
from hpcmtl.layerplan.solve.allocate import allocate, allocation
from hpcmtl.layerplan.solve.bounds import price_bound, simple_bound
from hpcmtl.layerplan.solve.candidates import CAPS, narrowest, widest
from hpcmtl.layerplan.solve.packing import pack
from hpcmtl.layerplan.solve.prices import PRICED_TASKS, _Game, price_windows, window_price_bound
from hpcmtl.taskgraph.levels import Levels

ROUNDING = 1e-9


@settings(max_examples=min(200, settings.default.max_examples), deadline=None)
@given(problems())
def test_no_plan_is_shorter_than_the_bound(problem: PlanningProblem) -> None:
    """However tasks are allocated and packed, with whatever rules, the makespan is not below the bound."""
    try:
        problem = apply_constraints(problem)
    except InputError:
        return
    prices = price_windows(problem)
    assert prices is not None
    found = allocate(problem)
    allocations = [widest(problem), narrowest(problem), prices.columns]
    allocations += [allocation(problem, found, k, cap) for k in range(2) for cap in CAPS]
    shortest = min(pack(problem, columns, moldable_until=u).makespan for columns in allocations for u in (None, np.inf))

    assert window_price_bound(problem, prices) <= shortest * (1 + ROUNDING)


def staged(counts: list[int], ranks: int, serial: float) -> PlanningProblem:
    """Stages of tasks by Amdahl's law, each stage after the whole one before."""
    total, begins = sum(counts), np.cumsum([0, *counts])
    pairs = [
        (a, b)
        for k in range(len(counts) - 1)
        for a in range(begins[k], begins[k + 1])
        for b in range(begins[k + 1], begins[k + 2])
    ]
    widths = np.arange(1, ranks + 1)
    times = np.tile(100 * (serial + (1 - serial) / widths), (total, 1))
    zeros, names = np.zeros(total, dtype=np.int64), tuple(f"{i:03d}" for i in range(total))
    levels = Levels(total, np.array(pairs, dtype=np.int64).reshape(-1, 2))
    return PlanningProblem(names, times, widths, levels, ranks, zeros, zeros + 1, zeros * 1.0)


@given(st.integers(2, 5), st.floats(0.05, 0.3))
def test_single_tasks_and_the_work_between_them_both_count(stages: int, serial: float) -> None:
    """Where one task and many alternate, each stage counts: single tasks by their time, the others by their area."""
    problem = staged([1, 24] * stages + [1], 8, serial)
    prices, found = price_windows(problem), allocate(problem).prices
    assert prices is not None
    assert found is not None
    bound = window_price_bound(problem, prices)
    sure = (stages + 1) * problem.times[0, -1] + stages * 24 * problem.times[0, 0] / 8

    assert bound <= sure * (1 + ROUNDING)
    assert bound >= 0.95 * sure
    assert bound > max(simple_bound(problem), price_bound(problem, found))


def test_graphs_without_prices() -> None:
    """No tasks, tasks that take no time, and very many tasks have none."""
    none = staged([1], 2, 0.5).part(np.array([], dtype=np.int64), 0.0)
    idle = staged([2], 2, 0.5)
    idle.times[:] = 0.0

    assert price_windows(none) is None
    assert price_windows(idle) is None
    assert price_windows(staged([PRICED_TASKS + 1], 2, 0.5)) is None


def test_columns_are_those_of_the_shortest_longest_path() -> None:
    """The game finds an allocation whose longest path over tasks and windows is shorter than that of its start."""
    problem = staged([1, 24, 1, 24, 1], 8, 0.1)
    game, prices = _Game(problem), price_windows(problem)
    assert prices is not None
    found = (problem.choices.columns == prices.columns[:, None]).argmax(axis=1)

    assert game.longest(game.lengths(found)) < game.longest(game.lengths(game.first))


def test_prices_are_of_a_unit_flow() -> None:
    """The first of all costs: each source sends a part of one unit, in sum one."""
    prices = price_windows(staged([3], 4, 0.5))

    assert prices is not None
    assert prices.time.sum() + prices.area[0] == pytest.approx(1.0)

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from problems import problems

from hpcmtl.layerplan.problem.planning_problem import PlanningProblem
from hpcmtl.layerplan.solve.allocate import allocate, capped
from hpcmtl.layerplan.solve.bounds import bound_of_widths, price_bound
from hpcmtl.taskgraph.levels import Levels


@given(problems(), st.floats(0.0, 10.0), st.data())
def test_a_cap_keeps_all_tasks_within_it(problem: PlanningProblem, cap: float, data: Any) -> None:
    """No task is wider than the cap, but for those whose smallest width is; widths within it stay."""
    useful = [np.flatnonzero(row).tolist() for row in problem.useful]
    columns = np.array([data.draw(st.sampled_from(row)) for row in useful])
    found = capped(problem, columns, cap)
    widths, smallest = problem.widths[found], problem.widths[[row[0] for row in useful]]

    assert (widths <= np.maximum(max(cap, 1.0), smallest)).all()
    assert (widths <= np.maximum(problem.widths[columns], smallest)).all()
    within = problem.widths[columns] <= max(cap, 1.0)
    assert (found[within] == columns[within]).all()


def test_prices_and_allocation_come_close() -> None:
    """The bound by the prices is within 5 % of the longest path and the area of the allocation that was found."""
    draw, tasks, ranks = np.random.default_rng(2), 60, 32
    serial, widths = draw.uniform(0.02, 0.2, (tasks, 1)), np.arange(1, ranks + 1)
    times = draw.lognormal(0, 1, (tasks, 1)) * (serial + (1 - serial) / widths)
    edges = np.array([(draw.integers(0, i), i) for i in range(1, tasks) for _ in range(2)], dtype=np.int64)
    zeros, names = np.zeros(tasks, dtype=np.int64), tuple(f"t{i}" for i in range(tasks))
    problem = PlanningProblem(names, times, widths, Levels(tasks, edges), ranks, zeros, zeros + 1, np.zeros(tasks))
    found = allocate(problem)
    assert found.prices is not None
    columns = found.columns[0]
    reached = bound_of_widths(problem, times[np.arange(tasks), columns], widths[columns])

    assert 0.95 * reached <= price_bound(problem, found.prices) <= reached * (1 + 1e-9)

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from problems import problems

from hpcmtl.layerplan.solve.allocate import capped

if TYPE_CHECKING:
    from hpcmtl.layerplan.problem.planning_problem import PlanningProblem


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

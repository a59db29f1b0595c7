"""The shortest plan of a small graph, and what the others are worth beside it."""

from __future__ import annotations

import sys
from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from problems import problems

from hpcmtl.errors import EnvironmentUnfitError, InputError
from hpcmtl.layerplan.problem.planning_problem import PlanningProblem
from hpcmtl.layerplan.problem.rules import PlacementRules
from hpcmtl.layerplan.report.check import schedule_violations
from hpcmtl.layerplan.solve.exact import optimum
from hpcmtl.layerplan.solve.packing import pack
from hpcmtl.layerplan.solve.policies import plan_problem
from hpcmtl.taskgraph.levels import Levels

NEARLY = 1e-3  # times are rounded to ticks


@pytest.mark.slow
@settings(max_examples=min(40, settings.default.max_examples))
@given(problems())
def test_bound_and_plan_of_tiny_graphs(problem: PlanningProblem) -> None:
    """The bound is never above the proved optimum, whose schedule is valid, and the plan is near it."""
    pytest.importorskip("ortools")
    problem = replace(problem, rules=PlacementRules(), priority=problem.priority * 0)
    known, bound = plan_problem(problem)
    found = optimum(problem, known, bound)

    assert schedule_violations(problem, found.schedule) == []
    assert bound <= found.lower_bound <= found.schedule.makespan <= known.makespan
    if found.proved:
        assert found.lower_bound >= found.schedule.makespan * (1 - NEARLY)
    assert known.makespan <= found.schedule.makespan * 1.25


def test_a_block_is_as_long_as_its_width_needs() -> None:
    """Two tasks in turn, the first on both ranks, are shorter than side by side, and proved to be the shortest."""
    pytest.importorskip("ortools")
    times = np.array([[10.0, 4.0], [3.0, np.inf]])
    zeros, none = np.zeros(2, dtype=np.int64), np.empty((0, 2), dtype=np.int64)
    problem = PlanningProblem(("a", "b"), times, np.array([1, 2]), Levels(2, none), 2, zeros, zeros + 1, np.zeros(2))
    known = pack(problem, zeros)
    found = optimum(problem, known, 0.0)

    assert known.makespan == 10.0
    assert found.proved
    assert found.schedule.makespan == 7.0
    assert 7.0 * (1 - NEARLY) <= found.lower_bound <= 7.0


def test_what_it_cannot_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """Too many tasks, rules, and a missing OR-Tools are named, with what to do."""
    times = np.ones((31, 1))
    zeros, none = np.zeros(31, dtype=np.int64), np.empty((0, 2), dtype=np.int64)
    names = tuple(f"{i:02d}" for i in range(31))
    problem = PlanningProblem(names, times, np.array([1]), Levels(31, none), 1, zeros, zeros + 1, zeros * 1.0)
    with pytest.raises(InputError, match="up to 30 tasks, not 31"):
        plan_problem(problem, "exact")
    small = problem.part(np.arange(3), 0.0)
    with pytest.raises(InputError, match="exact supports no rules"):
        plan_problem(replace(small, rules=PlacementRules(node=1)), "exact")
    monkeypatch.setitem(sys.modules, "ortools.sat.python.cp_model", None)
    with pytest.raises(EnvironmentUnfitError, match=r"pip install 'hpcmtl\[exact\]'"):
        plan_problem(small, "exact")


def test_tasks_that_take_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan of no seconds is the shortest one, and no solver is asked."""
    monkeypatch.setitem(sys.modules, "ortools.sat.python.cp_model", ModuleType("cp_model"))
    zeros, none = np.zeros(2, dtype=np.int64), np.empty((0, 2), dtype=np.int64)
    times, names = np.zeros((2, 1)), ("a", "b")
    problem = PlanningProblem(names, times, np.array([1]), Levels(2, none), 1, zeros, zeros + 1, zeros * 1.0)
    found = optimum(problem, pack(problem, zeros), 0.0)

    assert (found.schedule.makespan, found.lower_bound, found.proved) == (0.0, 0.0, True)

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcmtl.layerplan.problem.planning_problem import PlanningProblem
from hpcmtl.layerplan.report.check import schedule_violations
from hpcmtl.layerplan.solve import candidates, policies
from hpcmtl.layerplan.solve.allocate import allocate, allocation
from hpcmtl.layerplan.solve.bounds import lower_bound
from hpcmtl.layerplan.solve.packing import pack
from hpcmtl.layerplan.solve.policies import plan_problem
from hpcmtl.layerplan.solve.time_buckets import bucketed_packing
from hpcmtl.taskgraph.levels import Levels


def random_problem(seed: int, tasks: int, ranks: int = 32, spread: float = 1.0) -> PlanningProblem:
    """Random tasks, each with two producers before it, that slow down by Amdahl's law."""
    draw = np.random.default_rng(seed)
    widths = np.arange(1, ranks + 1)
    serial = draw.uniform(0.02, 0.2, (tasks, 1))
    times = draw.lognormal(0, spread, (tasks, 1)) * (serial + (1 - serial) / widths)
    pairs = [(draw.integers(0, i), i) for i in range(1, tasks) for _ in range(2)]
    edges = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    zeros = np.zeros(tasks, dtype=np.int64)
    names = tuple(f"t{i}" for i in range(tasks))
    return PlanningProblem(names, times, widths, Levels(tasks, edges), ranks, zeros, zeros + 1, np.zeros(tasks))


def bound_of(problem: PlanningProblem) -> float:
    """Seconds that no plan can be faster than."""
    return lower_bound(problem, allocate(problem).prices)


@pytest.mark.parametrize("moldable_until", [False, True])
def test_little_is_lost_by_time_buckets(moldable_until: bool) -> None:
    """A packing by ticks is valid, and nearly as short as one that may start tasks at any moment."""
    problem = random_problem(1, 600)
    columns, bound = allocation(problem, allocate(problem), 0, 0.5), bound_of(problem)
    bucketed = bucketed_packing(problem, columns, bound)
    assert bucketed is not None
    plan = bucketed(columns, bound if moldable_until else None)
    assert schedule_violations(problem, plan) == []
    assert plan.makespan <= pack(problem, columns, moldable_until=bound if moldable_until else None).makespan * 1.03


@settings(max_examples=min(30, settings.default.max_examples), deadline=None)
@given(seed=st.integers(0, 10**6), tasks=st.integers(1, 40), spread=st.floats(0, 4))
def test_plans_of_many_tasks_are_valid(seed: int, tasks: int, spread: float) -> None:
    """Whatever the tasks take, the plan that is made as for very many of them breaks no rule."""
    problem = random_problem(seed, tasks, spread=spread)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(candidates, "MANY_TASKS", 0)
        patch.setattr(candidates, "FEW_TASKS", 0)
        patch.setattr(policies, "SEARCHED_TASKS", 0)
        plan, bound = plan_problem(problem)
    assert schedule_violations(problem, plan) == []
    assert bound <= plan.makespan * (1 + 1e-9)


def test_time_buckets_are_for_very_many_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A graph with more tasks than the limit is packed in time buckets, one of that many tasks is not."""
    asked: list[int] = []
    monkeypatch.setattr(candidates, "bucketed_packing", lambda problem, *_: asked.append(len(problem.names)))
    monkeypatch.setattr(candidates, "MANY_TASKS", 8)
    monkeypatch.setattr(candidates, "FEW_TASKS", 0)
    monkeypatch.setattr(policies, "SEARCHED_TASKS", 0)
    for tasks in (7, 8, 9):
        plan_problem(random_problem(0, tasks, ranks=4))

    assert asked == [9]


@pytest.mark.parametrize(("bound", "allocations"), [(1e9, 2), (1e-9, len(candidates.PACKED))])
def test_a_good_plan_ends_the_search_for_candidates(bound: float, allocations: int) -> None:
    """Beyond the first two, allocations are packed only while the best plan is poor."""
    problem = random_problem(0, candidates.FEW_TASKS + 1, ranks=8)
    found = allocate(problem)

    assert len(list(candidates.candidates(problem, found, bound))) == 1 + len(found.relaxed) + allocations


def test_no_clock_for_tasks_of_no_length() -> None:
    """Where a long chain of tasks is too short for any clock, or nothing takes time, there is none."""
    chain = random_problem(1, 300, ranks=1)
    times = np.full((301, 1), 1e-9)
    times[-1] = 1.0
    edges = np.array([(i, i + 1) for i in range(299)])
    zeros = np.zeros(301, dtype=np.int64)
    names = tuple(f"t{i}" for i in range(301))
    mixed = PlanningProblem(names, times, np.array([1]), Levels(301, edges), 1, zeros, zeros + 1, np.zeros(301))
    assert bucketed_packing(mixed, zeros, 1.0) is not None  # what they add to one long task is little, rounded or not
    mixed.times[-1] = 0.0
    assert bucketed_packing(mixed, zeros, 1.0) is None
    assert bucketed_packing(chain, np.zeros(300, dtype=np.int64), 0.0) is None

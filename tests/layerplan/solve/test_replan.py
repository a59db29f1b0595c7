"""New widths for waiting tasks, and the widths of a plan for fewer ranks."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from problems import problems

from hpcmtl.errors import InputError
from hpcmtl.jobfile.work import Work
from hpcmtl.layerplan.problem.planning_problem import PlanningProblem
from hpcmtl.layerplan.solve.packing import FixedPart, Schedule
from hpcmtl.layerplan.solve.policies import make_plan
from hpcmtl.layerplan.solve.replan import narrow_plan, new_plan, possible_columns
from hpcmtl.taskgraph.graph import Edge, RankRules, TaskGraph, TaskNode
from hpcmtl.taskgraph.levels import Levels


def independent(count: int, ranks: int) -> PlanningProblem:
    """Tasks without edges that scale perfectly, 12 seconds each on one rank."""
    widths = np.arange(1, ranks + 1)
    zeros = np.zeros(count, dtype=np.int64)
    levels = Levels(count, np.empty((0, 2), dtype=np.int64))
    times = np.tile(12.0 / widths, (count, 1))
    return PlanningProblem(tuple("abcdef"[:count]), times, widths, levels, ranks, zeros, zeros + 1, zeros * 1.0)


def nothing_started(count: int, *busy: tuple[range, float]) -> FixedPart:
    """All tasks wait, while some ranks are busy."""
    zeros = np.zeros(count)
    none = Schedule(zeros.astype(np.int64), zeros, zeros, zeros.astype(np.int64))
    return FixedPart(0.0, zeros.astype(np.bool_), none, busy)


def test_free_ranks_are_used() -> None:
    """One task planned on one rank gets all four when nothing else waits."""
    problem = independent(1, 4)
    columns = new_plan(problem, np.array([0]), nothing_started(1)).columns

    assert problem.widths[columns].tolist() == [4]


def test_busy_ranks_are_left_out() -> None:
    """A task does not wait for ranks that are busy for longer than the task takes on the free ones."""
    problem = independent(1, 4)
    columns = new_plan(problem, np.array([3]), nothing_started(1, (range(2), 100.0))).columns

    assert problem.widths[columns].tolist() == [2]


def test_good_widths_are_kept() -> None:
    """Widths with a makespan at the lower bound stay as they are."""
    problem = independent(4, 4)
    columns = new_plan(problem, np.array([1, 1, 1, 1]), nothing_started(4)).columns

    assert columns.tolist() == [1, 1, 1, 1]


def graph_of(*tasks: tuple[str, int, RankRules]) -> TaskGraph:
    """Tasks with a least number of ranks, one after the other."""
    work = Work(1000, 2, 64, 1024, 100_000, trains=True)
    nodes = [
        TaskNode(name, "train", 0, least, 8, work.input_bytes, 1, work, rules=rules) for name, least, rules in tasks
    ]
    return TaskGraph(tuple(nodes), tuple(Edge(a.name, b.name, "order") for a, b in itertools.pairwise(nodes)))


@given(problems(), st.data())
def test_possible_widths(problem: PlanningProblem, data: Any) -> None:
    """A width is the widest allowed one that is not wider than wanted, or else the narrowest allowed one."""
    count = len(problem.names)
    wanted = data.draw(st.lists(st.integers(1, 12), min_size=count, max_size=count))
    found = problem.widths[possible_columns(problem, np.array(wanted))].tolist()
    allowed = [problem.widths[each].tolist() for each in problem.allowed]

    assert found == [
        max((width for width in some if width <= most), default=min(some))
        for some, most in zip(allowed, wanted, strict=True)
    ]


def test_a_plan_for_fewer_ranks() -> None:
    """Groups stay as wide as they were, or get the next narrower width that they may have."""
    graph = graph_of(("a", 1, RankRules()), ("b", 1, RankRules(powers_of_two=True)), ("c", 5, RankRules()))
    plan = make_plan(graph, 8, "sequential")
    narrower = narrow_plan(replace(plan, ranks=6), graph)

    assert [task.width for task in plan.tasks] == [8, 8, 8]
    assert [task.width for task in narrower.tasks] == [6, 4, 6]
    assert narrow_plan(plan, graph) == plan


def test_too_few_ranks() -> None:
    """A task that needs more ranks than are left is named."""
    graph = graph_of(("a", 1, RankRules()), ("c", 5, RankRules()))
    plan = make_plan(graph, 8)

    with pytest.raises(InputError, match=r"tasks\.c\.ranks: the task needs 5 ranks but there are 4"):
        narrow_plan(replace(plan, ranks=4), graph)

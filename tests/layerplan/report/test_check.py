from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from hpcmtl.jobfile.work import Work
from hpcmtl.layerplan.problem.planning_problem import make_problem
from hpcmtl.layerplan.problem.rules import PlacementRules
from hpcmtl.layerplan.report.check import violations
from hpcmtl.layerplan.solve.policies import make_plan
from hpcmtl.taskgraph.graph import Edge, TaskGraph, TaskNode

if TYPE_CHECKING:
    from hpcmtl.layerplan.plan import LayerPlan

WORK = Work(1000, 1, 64, 1024, 100_000, trains=True)
GRAPH = TaskGraph(
    tuple(TaskNode(name, "train", 0, 2, 2, WORK.input_bytes, 1, WORK) for name in "abc"), (Edge("a", "c", "data"),)
)
PROBLEM = make_problem(GRAPH, 4)
PLAN = make_plan(GRAPH, 4)  # a and b side by side, then c
SECONDS = PLAN.tasks[0].end


def changed(index: int, **changes: Any) -> LayerPlan:
    """The plan with one task changed."""
    tasks = list(PLAN.tasks)
    tasks[index] = replace(tasks[index], **changes)
    return replace(PLAN, tasks=tuple(tasks))


def moved(index: int, start: float, **changes: Any) -> LayerPlan:
    """The plan with one task at another time, and a makespan to match."""
    plan = changed(index, start=start, end=start + SECONDS, **changes)
    return replace(plan, makespan=max(task.end for task in plan.tasks))


def test_a_valid_plan_has_no_violations() -> None:
    """The planner's own plan of two tasks side by side and one behind passes."""
    assert violations(PROBLEM, PLAN) == []


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (moved(2, 0.5 * SECONDS, first_rank=PLAN.tasks[0].first_rank), "before a ends"),
        (moved(1, 0.0, first_rank=1), "holds"),
        (changed(1, first_rank=3), "not among 0 to 3"),
        (changed(1, first_rank=-1), "not among 0 to 3"),
        (changed(1, width=1), "1 ranks are not allowed"),
        (changed(1, width=7), "7 ranks are not allowed"),
        (changed(1, end=0.5 * SECONDS), "takes"),
        (moved(1, -1.0), "before its release"),
        (replace(PLAN, makespan=PLAN.makespan * 2), "the makespan is"),
        (replace(PLAN, lower_bound=PLAN.makespan * 2), "above the makespan"),
        (replace(PLAN, tasks=PLAN.tasks[:2]), "not those of the problem"),
        (replace(changed(1, wave=1), barrier=True), "before the barrier"),
    ],
)
def test_each_broken_rule_is_named(plan: LayerPlan, message: str) -> None:
    """Every rule has a plan that breaks it, and the check says which."""
    found = violations(PROBLEM, plan)

    assert any(message in text for text in found), found


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"node": 3}, "straddle nodes of 3"),
        ({"memory": np.full(3, 5.0), "rank_memory": np.array([9.0, 9.0, 9.0, 4.0])}, "has a rank with 4.0"),
        ({"gpu_memory": np.full(3, 5.0), "rank_gpu_memory": np.array([9.0, 9.0, 9.0, 0.0])}, "has a rank with 0.0"),
        ({"pinned": np.array([-1, -1, 0])}, "begins at rank 2, not 0"),
        ({"same_block": np.array([-1, -1, 0])}, "is not on the ranks of a"),
    ],
)
def test_each_broken_rule_of_placement_is_named(rules: dict[str, Any], message: str) -> None:
    """The last task keeps each rule from rank 0 on, where the first one was, and none from rank 2 on."""
    problem = replace(PROBLEM, rules=PlacementRules(**rules))

    def named(first_rank: int) -> list[str]:
        return [text for text in violations(problem, changed(2, first_rank=first_rank)) if text.startswith("c: ")]

    assert PLAN.tasks[0].first_rank == 0
    assert named(0) == []
    assert [message in text for text in named(2)] == [True]


def test_a_plan_of_nothing_has_no_violations() -> None:
    """A plan without tasks ends at once; one that claims to take longer is wrong."""
    problem, plan = PROBLEM.part(np.arange(0), 0.0), replace(PLAN, tasks=(), makespan=0.0, lower_bound=0.0)

    assert violations(problem, plan) == []
    assert violations(problem, replace(plan, makespan=1.0)) == ["the makespan is 0.0 s, not 1.0 s"]


@pytest.mark.parametrize(("node", "found"), [(2, []), (4, [True]), (0, [True])])
def test_an_exclusive_task_holds_its_nodes(node: int, found: list[bool]) -> None:
    """A task on the first two of four ranks may have a neighbour on another node, and none on its own."""
    problem = replace(PROBLEM, rules=PlacementRules(node=node, exclusive=np.array([True, False, False])))

    assert [task.first_rank for task in PLAN.tasks[:2]] == [0, 2]
    assert ["b: starts" in text and "on ranks that a holds" in text for text in violations(problem, PLAN)] == found

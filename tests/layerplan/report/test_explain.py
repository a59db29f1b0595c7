"""The reasons for the width, the layers and the place of a task are sentences that hold for that task."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from jobs import FAMILY

from hpcmtl.jobfile.load import parse_job
from hpcmtl.layerplan.model.speedup import Speedups
from hpcmtl.layerplan.problem.planning_problem import make_problem
from hpcmtl.layerplan.report.explain import explain
from hpcmtl.layerplan.solve.policies import make_plan
from hpcmtl.taskgraph.graph import build_graph, layers_of


def lines(task: str, ranks: int = 3, changes: dict[str, Any] | None = None, **job: Any) -> list[str]:
    """The explanation of a task of the family, of which nothing but the job file is known."""
    values = copy.deepcopy(FAMILY)
    values["tasks"][task].update(changes or {})
    made = parse_job({**values, **job, "ranks": ranks})
    graph, speedups = build_graph(made, {}), Speedups(())
    problem, plan = make_problem(graph, ranks, speedups), make_plan(graph, ranks, made.policy, speedups=speedups)
    found = explain(task, graph, problem, plan, rule=layers_of(made), speedups=speedups)
    return [line.strip() for line in found]


@pytest.mark.parametrize(
    ("ranks", "changes", "said"),
    [
        (1, {}, "it can have no other number of ranks"),
        (3, {"ranks": 2}, "it can have no other number of ranks"),
        (3, {}, "it can have more ranks, but they would not make it faster"),
    ],
)
def test_the_reason_for_no_other_width_is_one(ranks: int, changes: dict[str, Any], said: str) -> None:
    """Either no other width is allowed, or none is faster; never both."""
    told = [line for line in lines("digit", ranks, changes) if "it can have" in line]

    assert told == [said]


@pytest.mark.parametrize(
    ("changes", "job", "said"),
    [
        ({}, {}, "has a layer for each 0.04 MiB, rounded up"),
        ({"layers": 3}, {}, "layers 3: it has its own number of layers in the job"),
        ({}, {"policy": "fixed"}, "layers 2: each task has 2"),
    ],
)
def test_the_layers_have_the_rule_that_made_them(changes: dict[str, Any], job: dict[str, Any], said: str) -> None:
    """The rule of the job, the number of the task, or the planning policy."""
    (told,) = [line for line in lines("trunk", 3, changes, **job) if line.startswith("layers")]

    assert said in told


def test_the_place_is_told_in_words() -> None:
    """The order of the task and the time of the chain after it."""
    told = lines("trunk")

    assert "order: it is given ranks as number 1 of 8 tasks" in told
    assert any(line.startswith("it and the longest chain of tasks after it take ") for line in told)

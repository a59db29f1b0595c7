from __future__ import annotations

import json

import pytest

from hpcmtl.jobfile.kind_facts import NO_FACTS
from hpcmtl.jobfile.kind_registry import is_kind, load_kind
from hpcmtl.jobfile.work import Work
from hpcmtl.layerplan.plan import LayerPlan
from hpcmtl.layerplan.solve.policies import POLICIES, make_plan
from hpcmtl.taskgraph.graph import Edge, TaskGraph, TaskNode

WORK = Work(1000, 3, 64, 1024, 100_000, trains=True)
GRAPH = TaskGraph(
    tuple(TaskNode(name, "train", i, 1, 4, WORK.input_bytes, 2, WORK) for i, name in enumerate("abcde")),
    (Edge("a", "c", "data"), Edge("b", "d", "order")),
)


@pytest.mark.parametrize("policy", POLICIES)
def test_a_plan_survives_json_exactly(policy: str) -> None:
    """The values in `plan.json` are the plan, to the last bit of every float."""
    plan = make_plan(GRAPH, 3, policy)

    assert LayerPlan.from_dict(json.loads(json.dumps(plan.to_dict()))) == plan


def test_a_plan_of_an_earlier_version_is_followed_by_its_starts() -> None:
    """Without turns in `plan.json`, tasks have the turns of their planned starts; with them, their own."""
    plan = make_plan(GRAPH, 3)
    values = json.loads(json.dumps(plan.to_dict()))
    for task in values["tasks"]:
        del task["turn"]
    old = LayerPlan.from_dict(values)
    by_turn = sorted(old.tasks, key=lambda task: old.turns[old.tasks.index(task)])

    assert sorted(plan.turns) == sorted(old.turns) == list(range(5))
    assert plan.turns == tuple(task.turn for task in plan.tasks)
    assert [task.start for task in by_turn] == sorted(task.start for task in plan.tasks)


@pytest.mark.parametrize("kind", ["train", "predict", "of-a-package-that-is-gone"])
def test_a_plan_of_an_earlier_version_has_the_facts_of_its_kinds(kind: str) -> None:
    """Without facts in `plan.json`, those of the kind are taken; a kind that nobody knows any more has none."""
    values = json.loads(json.dumps(make_plan(GRAPH, 3).to_dict()))
    for task in values["tasks"]:
        del task["facts"]
        task["kind"] = kind
    facts = load_kind(kind).facts if is_kind(kind) else NO_FACTS

    assert {task.facts for task in LayerPlan.from_dict(values).tasks} == {facts}
    assert {task.family.trains for task in LayerPlan.from_dict(values).tasks} == {kind == "train"}


def test_json_states_the_gap_for_its_readers() -> None:
    """The gap is in the file, and is what the plan computes from makespan and bound."""
    plan = make_plan(GRAPH, 3)

    assert plan.to_dict()["gap"] == plan.gap == plan.makespan / plan.lower_bound - 1


def test_waves_hold_every_task_once_by_start() -> None:
    """Without barriers a wave is the tasks that start at one moment."""
    plan = make_plan(GRAPH, 3)
    waves = plan.waves()

    assert sorted(task.name for wave in waves for task in wave) == list("abcde")
    assert [{task.start for task in wave} for wave in waves] == [{t} for t in sorted({x.start for x in plan.tasks})]

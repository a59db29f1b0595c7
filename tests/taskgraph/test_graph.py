from __future__ import annotations

import graphlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcmtl.jobfile.arrays import ArraySpec
from hpcmtl.jobfile.load import parse_job
from hpcmtl.taskgraph.graph import Edge, TaskGraph, build_graph, topological_order

ARRAYS = {
    "digits/images": ArraySpec(1000, (1, 8, 8), split=(800, 100, 100)),
    "digits/digit": ArraySpec(1000, (), "i", 10, itemsize=1, split=(800, 100, 100)),
    "digits/weight": ArraySpec(1000, (), split=(800, 100, 100)),
    "features/values": ArraySpec(1000, (32,), split=(800, 100, 100)),
}
MLP = {"name": "mlp", "widths": [16], "outputs": 10}


def job(**changes: Any) -> dict[str, Any]:
    """A small family of tasks, of every kind that reads arrays; `changes` are merged into its tasks."""
    digit = {"kind": "train", "target": "digits/digit", "model": MLP, "loss": "softmax_ce"}
    tasks: dict[str, dict[str, Any]] = {
        "trunk": {**digit, "input": "digits/images", "epochs": 2, "sample_weights": "digits/weight"},
        "features": {"kind": "extract", "needs": {"trunk": "parameters"}, "output": "body"},
        "head": {**digit, "needs": {"features": "data"}, "input": "features/values", "epochs": 3},
        "report": {"kind": "evaluate", "needs": {"trunk": "parameters", "head": "order"}, "metrics": ["mse"]},
        "user": {"kind": "python", "callable": "package:function", "needs": {"features": "data"}, "outputs": ["table"]},
    }
    for name, change in changes.items():
        tasks[name] = {**tasks.get(name, {}), **change}
    return {"job": "j", "ranks": 8, "data": {"digits": "d.h5"}, "tasks": tasks}


def graph(arrays: dict[str, ArraySpec] = ARRAYS, top: dict[str, Any] | None = None, **changes: Any) -> TaskGraph:
    """The graph of `job`."""
    return build_graph(parse_job({**job(**changes), **(top or {})}), arrays)


def test_tasks_come_in_topological_order_with_their_edges() -> None:
    """Producers stand before consumers, ties by name, and every `needs` is an edge."""
    made = graph()

    assert made.names == ("trunk", "features", "head", "report", "user")
    assert set(made.edges) == {
        Edge("trunk", "features", "parameters"),
        Edge("features", "head", "data"),
        Edge("trunk", "report", "parameters"),
        Edge("head", "report", "order"),
        Edge("features", "user", "data"),
    }
    assert made.producers("report") == ("trunk", "head")
    assert made.consumers("features") == ("head", "user")
    assert made.consumers("report") == ()


def test_training_reads_the_train_rows_of_all_its_arrays() -> None:
    """Input, target and sample weights count, in the train split, once an epoch."""
    work = graph().task("trunk").work

    assert (work.samples, work.sample_bytes, work.passes, work.trains) == (800, 64 * 4 + 1 + 4, 2, True)
    assert (work.steps_per_pass, work.steps) == (13, 26)
    assert work.parameters == 64 * 16 + 16 + 16 * 10 + 10


@pytest.mark.parametrize(("name", "samples", "sample_bytes"), [("features", 1000, 256), ("report", 100, 257)])
def test_applying_reads_all_rows_and_evaluating_its_split(name: str, samples: int, sample_bytes: int) -> None:
    """An extract task passes once over all rows of its input; evaluate over its split and the targets as well."""
    work = graph().task(name).work

    assert (work.samples, work.sample_bytes, work.passes, work.trains) == (samples, sample_bytes, 1, False)
    assert graph().task(name).input_bytes == samples * sample_bytes


def test_a_python_task_is_one_layer_on_as_few_ranks_as_it_asks_for() -> None:
    """Nothing is known of a callable, so it is not cut, and wide only where its author says so."""
    node, wide = graph().task("user"), graph(user={"ranks": {"max": 4}}).task("user")

    assert (node.layers, node.min_ranks, node.max_ranks) == (1, 1, 1)
    assert (wide.min_ranks, wide.max_ranks) == (1, 4)
    assert node.work.samples == 1000


def test_unknown_arrays_count_as_the_largest_known_ones() -> None:
    """A size that only running a task tells is guessed high, so that no task is starved of ranks."""
    known = {**ARRAYS, "features/values": ArraySpec(None, None)}
    work = graph(known).task("head").work

    assert (work.samples, work.sample_bytes) == (1000, 256 + 1)


def test_a_job_without_any_described_array_still_has_a_graph() -> None:
    """On a login node that cannot read HDF5 a plan is made from guesses."""
    assert all(task.work.steps >= 1 and task.layers >= 1 for task in graph({}).tasks)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, (1, 8)),
        ({"ranks": {"min": 2, "max": 5}}, (2, 5)),
        ({"ranks": 3}, (3, 3)),
        ({"ranks": {"max": 99}}, (1, 8)),
        ({"batch_size": 4}, (1, 4)),
        ({"engine": "local"}, (1, 1)),
    ],
)
def test_limits_of_ranks_are_resolved(change: dict[str, Any], expected: tuple[int, int]) -> None:
    """No task may have more ranks than the job has, its batch has samples or its engine can use."""
    node = graph(trunk=change).task("trunk")

    assert (node.min_ranks, node.max_ranks) == expected


def test_layers_follow_the_rule_of_the_job() -> None:
    """The variable rule cuts by input size, the fixed policy alike, and a task may overrule both."""
    rule = {"layers": {"quantum": "64KiB", "max_layers": 8, "count": 3}}
    variable = graph(top=rule, head={"layers": 2})
    fixed = graph(top={**rule, "policy": "fixed"}, head={"layers": 2})

    assert [variable.task(name).layers for name in ("trunk", "features", "head", "report")] == [4, 4, 2, 1]
    assert [fixed.task(name).layers for name in ("trunk", "features", "head", "report")] == [3, 3, 2, 2]


def test_bottom_levels_are_seconds_to_the_end() -> None:
    """A bottom level is the task's own time and the longest way of what depends on it."""
    seconds = {"trunk": 4.0, "features": 1.0, "head": 2.0, "report": 0.5, "user": 9.0}
    tasks = graph()
    levels = tasks.levels.bottom(np.array([seconds[task.name] for task in tasks.tasks]))

    assert dict(zip((task.name for task in tasks.tasks), levels.tolist(), strict=True)) == {
        "trunk": 14,
        "features": 10,
        "head": 2.5,
        "report": 0.5,
        "user": 9,
    }


@given(st.permutations(["a", "b", "c", "d", "e"]))
def test_topological_order_does_not_depend_on_the_input_order(names: list[str]) -> None:
    """The order comes from names and edges alone."""
    needs = {"a": ["e"], "b": [], "c": ["b", "d"], "d": [], "e": ["d"]}

    assert topological_order({name: needs[name] for name in names}) == ("b", "d", "c", "e", "a")


def test_topological_order_refuses_a_cycle() -> None:
    """There is no order of a cycle."""
    with pytest.raises(graphlib.CycleError):
        topological_order({"a": ["b"], "b": ["a"]})

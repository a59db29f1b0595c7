"""Tests of what is refused before a task with several sources runs, with the key and the remedy."""

from __future__ import annotations

import numpy as np
import pytest

from hpcmtl.data.hdf5 import write_dataset_file
from hpcmtl.errors import InputError
from hpcmtl.jobfile.kinds import kind_of
from hpcmtl.jobfile.load import parse_job
from hpcmtl.jobfile.references import references_of
from hpcmtl.pipeline.prepare import prepare
from hpcmtl.pipeline.run.preflight import examine

LEFT, RIGHT = 60, 40
MLP = {"name": "mlp", "outputs": 3}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Two files of samples of one shape, and one of another; `odd` has a label that is no class."""
    folder, generator = tmp_path_factory.mktemp("sources"), np.random.default_rng(3)
    found = {}
    for name, size, width in (("left", LEFT, 6), ("right", RIGHT, 6), ("wide", RIGHT, 7)):
        x = generator.normal(size=(size, width)).astype(np.float32)
        y = generator.integers(0, 3, size)
        arrays = {"x": x, "y": y, "pairs": x[:, :2], "odd": np.where(y == 1, 7, y), "w": np.abs(x[:, 0])}
        found[name] = folder / f"{name}.h5"
        write_dataset_file(found[name], arrays, np.arange(size) % 5 % 3)
    return {name: str(path) for name, path in found.items()}


@pytest.fixture
def refusals(files):
    """Returns what is said of a task before it runs."""

    def check(task, **others):
        net = {"kind": "train", "model": MLP, "input": "left/x", "target": "left/y", "loss": "softmax_ce", "epochs": 1}
        tasks = {"net": net, "task": task, **others}
        defaults = {"batch_size": 16, "framework": "torch"}
        raw = {"hpcmtl": 1, "job": "checks", "ranks": 2, "data": files, "tasks": tasks, "defaults": defaults}
        try:
            prepared = prepare(parse_job(raw))
        except InputError as error:
            found = error.problems
        else:
            found = examine(prepared, list(tasks)).problems
        return [str(problem).removeprefix("job: ") for problem in found]

    return check


def joint(**changes):
    """A joint task on two sources that can be trained."""
    head = {"model": MLP, "loss": "softmax_ce", "metrics": ["accuracy"]}
    sources = {
        "one": {"input": "left/x", "targets": {"a": "left/y", "b": "left/y"}, "sample_weights": "left/w"},
        "two": {"input": "right/x", "targets": {"a": "right/y"}},
    }
    task = {"kind": "joint", "needs": {"net": "parameters"}, "trunk": {"from": "net"}, "epochs": 2}
    return {**task, "sources": sources, "heads": {"a": head, "b": head}} | changes


def with_source(name="two", **changes):
    """The same with changes of a source."""
    task = joint()
    task["sources"][name] |= changes
    return task


def train(**changes):
    """A train task on two sources."""
    sources = {"one": {"input": "left/x", "target": "left/y"}, "two": {"input": "right/x", "target": "right/y"}}
    return {"kind": "train", "model": MLP, "loss": "softmax_ce", "sources": sources, "epochs": 2} | changes


def by_name(model, **two):
    """A train task on two sources that give two inputs by name; the second one gives others if it is told so."""
    named = {"a": {"input": {"x": "left/x", "z": "left/pairs"}, "target": "left/y"}}
    return train(
        model=model,
        sources={**named, "b": {"input": {"x": "right/x", "z": "right/pairs", **two}, "target": "right/y"}},
    )


FUSION = {"name": "fusion", "encoders": {"x": MLP, "z": MLP}, "outputs": 3}


def test_inputs_by_name(refusals):
    """Sources may give several inputs by name, and each has its own shape."""
    wide = by_name(FUSION, x="wide/x")

    assert refusals(by_name(FUSION)) == []
    assert any("sources.b.input.x: wide/x has samples of shape (7,)" in each for each in refusals(wide))


@pytest.mark.parametrize("first", ["all", "fewer"])
def test_sources_of_other_inputs(refusals, first):
    """Sources whose inputs differ are refused, also where a network of the user's takes some that may be left out."""
    task = by_name({"name": "own_modules:Optional"})
    del task["sources"]["b"]["input"]["z"]
    if first == "fewer":
        task["sources"] = dict(reversed(task["sources"].items()))
    (found,) = [each for each in refusals(task) if "all sources have the inputs of" in each]

    assert "tasks.task.sources." in found


def test_an_increment_takes_no_other_parameters(refusals):
    """Parameters of another task would be overwritten by those of the earlier run without a word."""
    own = {"kind": "train", "model": MLP, "input": "left/x", "target": "left/y", "loss": "softmax_ce", "epochs": 1}
    taken = {"needs": {"net": "parameters"}, "initialise": {"net": "*"}}
    found = refusals({**own, **taken, "increment": {"new_since": "nowhere"}})

    assert any("tasks.task.increment: begins with all parameters of an earlier run" in each for each in found), found


def test_sound_tasks(refusals):
    """Joint and train tasks on several sources, and tasks that read one source of them, have no problem."""
    reads = {
        "report": {"kind": "evaluate", "metrics": ["accuracy"], "needs": {"task": "parameters"}, "source": "two"},
        "scores": {"kind": "predict", "needs": {"task": "parameters"}, "source": "one"},
        "own": {"kind": "predict", "needs": {"task": "parameters"}, "input": "right/x"},
    }

    assert refusals(joint(), **reads) == []
    assert refusals(train(mixture={"how": "equal"}), **reads) == []


@pytest.mark.parametrize(
    ("task", "where", "words"),
    [
        (joint(input="left/x"), "input", "belongs to each of the `sources`"),
        (joint(sample_weights="left/w"), "sample_weights", "belongs to each of the `sources`"),
        (joint(sampler={"how": "balanced", "classes": "left/y"}), "sampler", "has a `mixture` instead"),
        (with_source(targets={"c": "right/y"}), "sources.two.targets.c", "the task has no such head"),
        (with_source(targets={}), "sources.two", "has no targets; write `targets: {HEAD: source/dataset}`"),
        (with_source(target="right/y"), "sources.two.target", "a joint task has targets by head"),
        (with_source(masks={"b": "right/y"}), "sources.two.masks.b", "the source has none for it"),
        (with_source("one", targets={"a": "left/y"}), "heads.b", "no source has targets for it; write `targets: {b: "),
        (
            with_source(input="wide/x", targets={"a": "wide/y"}),
            "sources.two.input",
            "samples of shape (7,), but left/x of",
        ),
        (with_source(targets={"a": "right/pairs"}), "sources.two.targets.a", "needs one whole number a sample"),
        (with_source(targets={"a": "right/odd"}), "sources.two.targets.a", "7"),
        (with_source(targets={"a": "left/y"}), "sources.two", "arrays of different length"),
        (with_source(targets={"a": "right/z"}), "sources.two.targets.a", "has no dataset 'z'"),
        (with_source(input="lost/x"), "sources.two.input", "neither under `data` nor a task"),
        (joint(mixture={"how": "temperature"}), "mixture", "a mixture `temperature` needs `temperature`"),
        (joint(mixture={"how": "equal", "temperature": 2}), "mixture", "takes no `temperature`"),
        (joint(mixture={"how": "fixed"}), "mixture", "needs `batch_sizes`"),
        (joint(mixture={"how": "fixed", "batch_sizes": {"one": 4}}), "mixture.batch_sizes", "has no number for two"),
        (
            joint(mixture={"how": "fixed", "batch_sizes": {"one": 4, "tow": 3, "two": 1}}),
            "mixture.batch_sizes.tow",
            "there is no such source; did you mean 'two'",
        ),
        (joint(mixture={"how": "equal", "batch_sizes": {"one": 4}}), "mixture", "takes no `batch_sizes`"),
        (
            joint(mixture={"how": "fixed", "batch_sizes": {"one": 4, "two": 3}}, batch_size=8),
            "",
            "`batch_size` is 8, but the `batch_sizes` of the mixture add up to 7",
        ),
        (
            joint(mixture={"how": "equal", "steps": 9}),
            "mixture",
            "one has 24 train samples, but an epoch of 9 steps takes 72 of them; write fewer `steps`",
        ),
        (train(target="left/y"), "target", "belongs to each of the `sources`"),
        (train(sources={"one": {"input": "left/x"}}), "sources.one", "has no target; write `target: SOURCE/ARRAY`"),
        (
            train(sources={"one": {"input": "left/x", "targets": {"a": "left/y"}}}),
            "sources.one",
            "has `targets`, but a train task has one objective: write `target: SOURCE/ARRAY`",
        ),
        (train(sources={}), "input", "is missing"),
        (train(sources={}, input="left/x", target="left/y", mixture={"how": "equal"}), "mixture", "leave it out"),
    ],
)
def test_refusals(refusals, task, where, words):
    """Each wrong key is named by its path, with what was found and what to write."""
    found = refusals(task)
    place = f"tasks.task.{where}: ".replace(".:", ":")

    assert [each for each in found if each.startswith(place)], found
    assert any(words in each for each in found), found


@pytest.mark.parametrize(
    ("reader", "where", "words"),
    [
        ({"kind": "evaluate"}, "source", "is missing: task was trained on several sources, one and two"),
        ({"kind": "predict"}, "source", "is missing: task was trained on several sources, one and two"),
        ({"kind": "evaluate", "input": "right/x"}, "source", "is missing"),
        ({"kind": "evaluate", "source": "tow"}, "source", "no source of this name; did you mean 'two'"),
    ],
)
def test_readers_name_a_source(refusals, reader, where, words):
    """A task that runs the network says on which source, as its arrays come from there."""
    (found,) = refusals(joint(), report={**reader, "needs": {"task": "parameters"}})

    assert found.startswith(f"tasks.report.{where}: ")
    assert words in found


def test_a_source_of_a_network_without_any(refusals):
    """`source` has no meaning for a network with a single source."""
    report = {"kind": "evaluate", "needs": {"net": "parameters"}, "source": "one"}
    (found,) = refusals(joint(), report=report)

    assert found == "tasks.report.source: net was trained on no source of this name; leave it out"


def test_every_array_is_guarded(files):
    """The references of a task, by which files are checked and guarded against changes, are those of all sources."""
    defaults = {"batch_size": 16, "framework": "torch"}
    net = {"kind": "train", "model": MLP, "input": "left/x", "target": "left/y", "loss": "softmax_ce", "epochs": 1}
    raw = {"hpcmtl": 1, "job": "guard", "ranks": 2, "data": files, "defaults": defaults}
    job = prepare(parse_job({**raw, "tasks": {"net": net, "task": joint()}})).job

    assert dict(references_of(job, "task")) == {
        ("sources", "one", "input"): "left/x",
        ("sources", "one", "sample_weights"): "left/w",
        ("sources", "one", "targets", "a"): "left/y",
        ("sources", "one", "targets", "b"): "left/y",
        ("sources", "two", "input"): "right/x",
        ("sources", "two", "targets", "a"): "right/y",
    }


@pytest.mark.parametrize(
    ("mixture", "samples", "batch_size"),
    [
        ({"how": "proportional"}, 24 + 16, 16),
        ({"how": "equal"}, 32, 16),
        ({"how": "equal", "steps": 10, "oversample": True}, 160, 16),
        ({"how": "fixed", "batch_sizes": {"one": 4, "two": 1}}, 30, 5),
        ({"how": "round_robin", "batch_sizes": {"one": 20}}, 36, 20),
    ],
)
def test_the_work_of_a_mixture(files, mixture, samples, batch_size):
    """The planner knows the samples of an epoch and of a step."""
    defaults = {"batch_size": 16, "framework": "torch"}
    tasks = {"task": train(mixture=mixture)}
    prepared = prepare(
        parse_job({"hpcmtl": 1, "job": "work", "ranks": 2, "data": files, "tasks": tasks, "defaults": defaults})
    )
    work = kind_of(prepared.job, "task").work(prepared.job, "task", prepared.arrays)

    assert (work.samples, work.batch_size, work.passes) == (samples, batch_size, 2)

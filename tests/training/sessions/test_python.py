"""A user's callable is given what the contract says, and what it returns becomes metrics and artifacts or an error."""

from __future__ import annotations

import re

import numpy as np
import pytest
from transfers import run_both

from hpcmtl.communicators.inproc import RankFailedError
from hpcmtl.data.hdf5 import read_split
from hpcmtl.data.reader import open_array
from hpcmtl.errors import InputError, TaskFailedError
from hpcmtl.training.artifacts.load import load


def python_task(name, **keys):
    """A task that calls a function of `own_tasks`."""
    return {"kind": "python", "callable": f"own_tasks:{name}", **keys}


def failing(bench, name, ranks=2, **keys):
    """Returns the error that a task raises on the group's first failing rank."""
    done = bench({"own": python_task(name, **keys)})
    with pytest.raises(RankFailedError) as error:
        done.run("own", ranks)
    return error.value.__cause__, done


@pytest.mark.parametrize("ranks", [1, 3])
def test_numbers_become_metrics(bench, ranks):
    """Whole numbers, floats and numpy scalars; the callable saw its arguments, group, seed, framework and no stop."""
    metrics = bench({"own": python_task("report", arguments={"factor": 3})}).run("own", ranks)[0].metrics
    again = bench({"own": python_task("report", arguments={"factor": 3})}).run("own", ranks)[0].metrics

    assert metrics == again
    assert metrics.pop("seed") > 0
    assert metrics == {
        "factor": 3.0,
        "half": 0.5,
        "ranks": ranks,
        "sum": ranks * (ranks - 1) / 2,
        "stop": 0.0,
        "letters": 5,
    }
    assert all(type(value) is float for value in metrics.values())


def test_nothing_is_a_result(bench):
    """A callable that returns None has no metrics."""
    outcome = bench({"own": python_task("nothing")}).run("own", 2)[0]

    assert (outcome.metrics, outcome.steps) == ({}, 1)


def test_arrays_become_artifacts(bench):
    """Arrays that `outputs` names are published with their split, and other tasks read them."""
    tasks = {
        "own": python_task("arrays", outputs=["twice", "label"]),
        "reader": python_task("reading", needs={"own": "data"}, arguments={"reference": "own/twice"}),
    }
    done = bench(tasks)
    metrics = done.run("own", 2)[0].metrics
    read = done.run("reader", 2)[0].metrics
    with open_array(done.artifact("own"), "twice") as twice:
        rows = twice.read(0, twice.samples)

    assert metrics == {"rows": 4.0}
    assert rows.tolist() == [[0, 2], [4, 6], [8, 10], [12, 14]]
    assert read_split(done.artifact("own")).tolist() == [0, 0, 1, 2]
    assert read == {"rows": 4.0, "sum": 56.0}


@pytest.mark.parametrize("limit", [0, 1 << 20])
def test_the_split_of_another_task_can_be_read(bench, limit):
    """By its name beside the arrays, from memory and from the file."""
    tasks = {
        "own": python_task("arrays", outputs=["twice", "label"]),
        "reader": python_task("reading", needs={"own": "data"}, arguments={"reference": "own/split"}),
    }

    assert run_both(bench(tasks), ["own", "reader"], limit)["reader"] == {"rows": 4.0, "sum": 3.0}


def test_the_split_of_a_data_file_can_be_read(bench):
    """By its name in the file."""
    task = python_task("reading", arguments={"reference": "small/split"})

    assert bench({"own": task}).run("own")[0].metrics["rows"] == 61


def test_parameters_of_a_trained_task(bench, task):
    """The parameters of a task that it needs are at hand, by name."""
    done = bench({"digit": task(epochs=1), "own": python_task("weighing", needs={"digit": "parameters"})})
    done.run("digit")

    assert done.run("own", 2)[0].metrics == {"parameters": 6.0, "outputs": 3.0}


def test_a_data_file_can_be_read(bench):
    """By the name that the job file gives it."""
    task = python_task("reading", arguments={"reference": "small/images"})

    assert bench({"own": task}).run("own", 2)[0].metrics["rows"] == 61


def test_a_missing_output_fails_all_ranks(bench):
    """It is named, and nothing is published."""
    error, done = failing(bench, "arrays", outputs=["twice", "thrice"])

    assert isinstance(error, TaskFailedError)
    assert str(error) == (
        "task own: own_tasks:arrays did not return thrice; it returned rows, twice, label, split; did you mean 'twice'?"
    )
    assert not done.artifact("own").exists()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("text", "task own: best is neither a number nor among `outputs` (none); name arrays there"),
        ("arrays", "task own: twice, label, split is neither a number nor among `outputs` (none); name arrays there"),
        ("number", "task own: own_tasks:number returned a int, not a mapping of metrics and outputs, or nothing"),
    ],
)
def test_an_odd_value_fails_all_ranks(bench, name, said):
    """A key that is neither a metric nor an output is named."""
    error, _ = failing(bench, name)

    assert isinstance(error, TaskFailedError)
    assert str(error) == said


def test_an_array_that_is_not_among_the_inputs_is_refused(bench):
    """Reading what the task does not need would race with its producer."""
    tasks = {
        "own": python_task("arrays", outputs=["twice", "label"]),
        "reader": python_task("reading", arguments={"reference": "own/twice"}),
    }
    done = bench(tasks)
    done.run("own")
    with pytest.raises(RankFailedError, match="task reader: own_tasks:reading: 'own' is not among its inputs") as error:
        done.run("reader")

    assert isinstance(error.value.__cause__, InputError)
    assert "write `needs: {own: data}`" in str(error.value)


@pytest.mark.parametrize(
    ("name", "said"),
    [("digit", "'digit' is not among its inputs; write `needs: {digit: parameters}`"), ("digits", "valid here: own")],
)
def test_parameters_that_are_not_among_the_inputs_are_refused(bench, task, name, said):
    """As for arrays: a task of the job has to be needed, any other name is no input."""
    tasks = {
        "digit": task(epochs=1),
        "own": python_task("nothing"),
        "asker": python_task("asking", needs=["own"], arguments={"task": name}),
    }
    done = bench(tasks)
    done.run("digit")
    with pytest.raises(RankFailedError) as error:
        done.run("asker")

    assert said in str(error.value)


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("own/twise", "read('own/twise'): task own publishes no array 'twise'; did you mean 'twice'?"),
        ("own", "read('own'): task own publishes no array ''; valid here: label, twice"),
        ("digit/values", "task digit publishes no arrays; parameters('digit') gives what"),
        ("small", "read('small'): write source/dataset"),
        ("small/image", "there is no such dataset; did you mean 'images'?"),
    ],
)
def test_a_reference_to_no_array_is_refused(bench, task, reference, said):
    """A wrong name of an array, none at all, and a task that publishes parameters have words and a remedy."""
    needs = {"own": "data", "digit": "parameters"}
    tasks = {
        "own": python_task("arrays", outputs=["twice", "label"]),
        "digit": task(epochs=1),
        "reader": python_task("reading", needs=needs, arguments={"reference": reference}),
    }
    done = bench(tasks)
    done.run("own")
    done.run("digit")
    with pytest.raises(RankFailedError) as error:
        done.run("reader")

    assert said in str(error.value)


def test_arrays_of_different_length_are_refused(bench):
    """The contract of data files holds for those of callables as well."""
    error, done = failing(bench, "uneven", outputs=["a", "b"])

    assert isinstance(error, TaskFailedError)
    assert "task own: own_tasks:uneven: its outputs have different numbers of samples (a " in str(error)
    assert not done.artifact("own").exists()


def test_an_error_of_the_callable_is_its_own(bench):
    """It comes as it was raised."""
    error, _ = failing(bench, "broken", ranks=1)

    assert isinstance(error, ZeroDivisionError)


EXACT = ["features", "words", "flags", "waves", "halves", "large", "unsigned", "big_endian", "letters", "truth", "gaps"]


@pytest.mark.parametrize("limit", [0, 1 << 20])
def test_arrays_travel_exactly(bench, limit):
    """All number types, truth values, text, NaN and arrays without a value come back to the bit, by memory and file."""
    tasks = {
        "own": python_task("made", outputs=EXACT, arguments={"names": EXACT}),
        "reader": python_task("exactly", needs={"own": "data"}, arguments={"names": EXACT}),
    }
    made = bench(tasks)
    same = run_both(made, ["own", "reader"], limit)["reader"]
    loaded = load(made.artifact("own")).arrays

    assert same == dict.fromkeys(EXACT, 1.0)
    assert loaded["words"].dtype == "<U5"
    assert loaded["features"].dtype == np.float64
    assert loaded["large"][0] == 2**53 + 1


@pytest.mark.parametrize("kind", ["unmasked", "list", "none", "strings"])
def test_outputs_that_lose_nothing_are_published(bench, kind):
    """A mask that masks nothing, a list, an array without rows, and text as Python objects."""
    made = bench({"own": python_task("given", outputs=["x"], arguments={"kind": kind})})
    made.run("own")

    assert len(load(made.artifact("own")).arrays["x"]) == (0 if kind == "none" else 4)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("masked", "output x is masked, and its mask would be lost; give .filled"),
        ("masks in a list", "output x is masked, and its mask would be lost"),
        ("dates", r"x: values of type datetime64\[D\], which are dates; give numbers and say their unit"),
        ("ragged", "output x is no array"),
        ("objects", "x: values of type object, which are Python objects"),
        ("records", "which are records; give each field as an array of its own"),
        ("single", "x: is one value; the first axis counts samples"),
    ],
)
def test_outputs_that_cannot_travel_are_refused(bench, kind, said):
    """The message says what is lost and what to return instead; nothing is published."""
    error, made = failing(bench, "given", ranks=1, outputs=["x"], arguments={"kind": kind})

    assert re.search(said, str(error))
    assert not made.artifact("own").exists()


@pytest.mark.parametrize(
    ("split", "said"),
    [
        ([0, 1, 2, 256], "split: found 256 at sample 3; write one code"),
        ([0, 0.5, 1, 2], "split: found 0.5 at sample 1; write one code"),
        ([-1, 0, 0, -1], "split: found -1 at sample 0 (2 such samples); write one code"),
        ([0.0, 1.0, 2.0, 0.0], "split: found values of type float64, which is no type of whole numbers; write"),
        ([[0, 1, 2, 0]], "split: found int64 of shape (1, 4); write one code"),
        ([0, 1], "x: 4 samples, but split has 2"),
    ],
)
def test_a_split_is_not_bent_into_codes(bench, split, said):
    """256, fractions, -1 and a split of another length are refused; they became codes by a cast."""
    error, _ = failing(bench, "given", ranks=1, outputs=["x"], arguments={"kind": "list", "split": split})

    assert f"task own: own_tasks:given: {said}" in str(error)


@pytest.mark.parametrize(
    ("outputs", "said"),
    [
        ({"x": "int64"}, ""),
        ({"x": {"type": "int64", "shape": []}}, ""),
        (
            {"x": "float64"},
            r'float64, but is int64; return it with .astype\("float64"\), or declare it as int64',
        ),
        (
            {"x": {"shape": [2]}},
            r"of shape \[2\], but has samples of shape \[\]; return that shape, or declare",
        ),
    ],
)
def test_declared_outputs_are_compared(bench, outputs, said):
    """The statement of the job file on an output holds for the returned arrays."""
    task = python_task("given", outputs=outputs, arguments={"kind": "list"})
    if said:
        with pytest.raises(RankFailedError, match=said):
            bench({"own": task}).run("own")
    else:
        assert bench({"own": task}).run("own")[0].metrics == {}


@pytest.mark.parametrize(
    ("outputs", "said"),
    [
        ({"x": "int"}, "'int' is no type of an output; did you mean 'int64'?"),
        ({"x": "datetime64"}, "'datetime64' is no type of an output; give dates as int64 and say their unit"),
        ({"x": "flaot64"}, "did you mean 'float64'?"),
        (["split"], "'split' is the split of the samples"),
    ],
)
def test_declarations_are_refused_before_the_run(bench, outputs, said):
    """A type that cannot travel, a misspelt one, and a reserved name."""
    with pytest.raises(InputError) as error:
        bench({"own": python_task("given", outputs=outputs)})

    assert said in str(error.value)


@pytest.mark.parametrize(
    ("type_", "refused"), [("text", True), ("complex64", True), ("float32", False), ("bool", False)]
)
def test_a_declared_type_that_a_network_cannot_take_is_refused_before_the_run(bench, task, type_, refused):
    """Text and complex numbers, as input and as target: before anything runs."""
    tasks = {
        "own": python_task("given", outputs={"x": {"type": type_, "shape": [4]}, "y": {"type": type_, "shape": []}}),
        "a": task(input="own/x", target="small/size", loss="l2", metrics=[], needs={"own": "data"}, model=ONE),
        "b": task(input="small/images", target="own/y", loss="l2", metrics=[], needs={"own": "data"}, model=ONE),
    }
    if not refused:
        bench(tasks)
        return
    with pytest.raises(InputError) as error:
        bench(tasks)

    assert "tasks.a.input: own/x has values of type" in str(error.value)
    assert "tasks.b.target: own/y has values of type" in str(error.value)


ONE = {"name": "mlp", "outputs": 1}


def test_whole_numbers_stay_exact(bench):
    """A count that float64 cannot hold is that count in the results; other numbers are floats."""
    metrics = bench({"own": {"kind": "python", "callable": "own_tasks:counts"}}).run("own")[0].metrics

    assert metrics == {"large": 2**60 + 1, "numpy": 2**53 + 1, "small": 3.0, "part": 0.5}
    assert [type(value) for value in metrics.values()] == [int, int, float, float]

"""Inputs by name are compared with networks, files and transforms before a job runs; each refusal names its key."""

from __future__ import annotations

import numpy as np
import pytest

from hpcmtl.data.hdf5 import write_dataset_file
from hpcmtl.errors import InputError
from hpcmtl.jobfile.arrays import ArraySpec
from hpcmtl.jobfile.load import parse_job
from hpcmtl.jobfile.transforms import Flip, Mixup
from hpcmtl.networks.input_values import INPUT
from hpcmtl.pipeline.prepare import prepare
from hpcmtl.pipeline.run.preflight import examine
from hpcmtl.training.kinds.input_arrays import check_mixed, input_path, rows_of_inputs, sample_shapes, transform_path

pytest.importorskip("torch")

ROWS = 30
SPLIT = np.arange(ROWS) % 3
BOTH = {"image": "a/image", "table": "b/table"}
FUSION = {
    "name": "fusion",
    "encoders": {"image": {"name": "convnet", "channels": [2], "outputs": 3}, "table": {"name": "mlp", "outputs": 2}},
    "outputs": 3,
}
OWN = {"torch": "own_modules:TableAndImage", "gluon": "own_blocks:TableAndImage"}


@pytest.fixture(scope="module")
def refusals(tmp_path_factory):
    """Returns what is said of the tasks of a job before it runs."""
    random, folder = np.random.default_rng(0), tmp_path_factory.mktemp("inputs")
    images = {"image": random.normal(size=(ROWS, 1, 6, 6)).astype(np.float32), "y": np.arange(ROWS) % 3}
    table = {"table": random.normal(size=(ROWS, 2)).astype(np.float32), "ids": np.arange(ROWS)}
    write_dataset_file(folder / "a.h5", images, SPLIT, {"y": {"classes": ["a", "b", "c"]}})
    write_dataset_file(folder / "b.h5", table, SPLIT)
    write_dataset_file(folder / "fewer.h5", {"table": table["table"][:-1]}, SPLIT[:-1])
    write_dataset_file(folder / "other.h5", table, np.roll(SPLIT, 1))
    files = {name: str(folder / f"{name}.h5") for name in ("a", "b", "fewer", "other")}

    def check(tasks):
        used = {name: path for name, path in files.items() if f"{name}/" in str(tasks)}
        raw = {"hpcmtl": 1, "job": "checks", "ranks": 2, "data": used, "tasks": tasks}
        try:
            prepared = prepare(parse_job(raw))
        except InputError as error:
            found = error.problems
        else:
            found = examine(prepared, list(tasks)).problems
        return [str(problem).removeprefix("job: ").replace(f"{folder}/", "") for problem in found]

    return check


def net(**changes):
    """A task with two inputs."""
    base = {"kind": "train", "model": FUSION, "input": BOTH, "target": "a/y", "loss": "softmax_ce", "epochs": 1}
    return {**base, "optimizer": {"name": "sgd", "learning_rate": 0.1}, "batch_size": 5, **changes}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, None),
        ({"model": {"name": OWN["torch"]}, "framework": "torch"}, None),
        ({"model": {"name": OWN["gluon"]}}, None),
        ({"input": "a/image"}, "tasks.net.input: the network takes inputs by name: write `input: {image: SOURCE/ARRAY"),
        ({"model": {"name": "mlp", "outputs": 3}}, "tasks.net.input: the network takes one input, and is given image"),
        (
            {"input": {"image": "a/image", "tabel": "b/table"}},
            "tasks.net.input: the network takes no input 'tabel'; did",
        ),
        (
            {"input": {"image": "a/image"}},
            "tasks.net.input: the network takes image and table, and is given no 'table'",
        ),
        ({"input": {**BOTH, "table": "b/tabel"}}, "tasks.net.input.table: b.h5 has no dataset 'tabel'; did you mean"),
        ({"input": {**BOTH, "table": "table"}}, "tasks.net.input.table: found 'table'; write source/dataset"),
        ({"input": {**BOTH, "my-table": "b/table"}}, "an input has the name of an argument of the network"),
        ({"input": {}}, "tasks.net.input: "),
        ({"input": {"image": "b/table", "table": "b/table"}}, "b/table and b/table: convnet takes images of shape"),
        (
            {"input": {**BOTH, "table": "fewer/table"}},
            "tasks.net: arrays of different length: a/image (a.h5) has 30 samples, fewer/table (fewer.h5) has 29",
        ),
        ({"input": {**BOTH, "table": "other/table"}}, "other.h5: split: differs from that of a.h5"),
        ({"transform": ["normalise"]}, "tasks.net.transform: the task has inputs by name, each with its own: write"),
        (
            {"transform": {"tabel": "normalise"}},
            "tasks.net.transform.tabel: the task has no input 'tabel'; did you mean",
        ),
        ({"transform": {"table": "flip"}}, "tasks.net.transform.table: flip takes images of shape"),
        (
            {"transform": {"table": "flipp"}},
            "tasks.net.transform.table.0: unknown transform 'flipp'; did you mean 'flip'?",
        ),
    ],
)
def test_refusals(refusals, changes, said):
    """A job is sound, or one message names the key, what was found and what to write."""
    found = refusals({"net": net(**changes)})

    assert found == [] if said is None else any(said in each for each in found), found
    assert len(found) <= 1


@pytest.mark.parametrize("framework", OWN)
@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"image": "a/image", "tabel": "b/table"}, "tasks.net.input: the network takes no input 'tabel'; did you mean"),
        ("a/image", "tasks.net.input: the network takes inputs by name: write `input: {table: SOURCE/ARRAY, image:"),
        ({"table": "b/table"}, "tasks.net.input: the network takes table and image, and is given no 'image'"),
    ],
)
def test_own_networks(refusals, framework, given, said):
    """Names are compared with the arguments of the forward pass of a network of the user's, in either framework."""
    (found,) = refusals({"net": net(model={"name": OWN[framework]}, framework=framework, input=given)})

    assert said in found


def test_tasks_that_run_the_network(refusals):
    """They take the inputs of the training, or others of the same names; a joint task has inputs of its trunk."""
    run = {"kind": "predict", "needs": {"net": "parameters"}}
    head = {"model": {"name": "mlp", "outputs": 3}, "target": "a/y", "loss": "softmax_ce"}
    keys = {key: value for key, value in net().items() if key not in {"model", "target", "loss"}}
    joint = {**keys, "kind": "joint", "needs": {"net": "parameters"}, "heads": {"y": head}}
    joint |= {"trunk": {"from": "net", "part": "body"}}
    sound = {"net": net(), "p": run, "same": {**run, "input": {"table": "other/table", "image": "a/image"}}, "j": joint}
    bad = {"net": net(), "p": {**run, "input": "a/image"}, "j": {**joint, "input": {"image": "a/image"}}}

    assert all("other.h5: split" in each for each in refusals(sound))
    found = refusals(bad)
    assert [each.partition(": ")[0] for each in found] == ["tasks.j.input", "tasks.p.input"]


def test_transforms_of_a_single_input(refusals):
    """A single input has a list of transforms, and refuses a mapping by names."""
    mlp = {"model": {"name": "mlp", "outputs": 3}, "input": "a/image"}
    (found,) = refusals({"net": net(**mlp, transform={"image": ["flip"]})})

    assert refusals({"net": net(**mlp, transform={"name": "noise", "deviation": 0.1})}) == []
    assert "tasks.net.transform.image: the task has one input without a name" in found


def test_integers_of_one_input(refusals):
    """Integers are asked of the input that takes them; floats and transforms are refused there alone."""
    model = {"name": "own_modules:IdsAndNumbers", "input_type": {"ids": "integer"}}
    keys = {"model": model, "framework": "torch"}
    good = {"ids": "a/y", "numbers": "b/table"}
    cases = {
        "tasks.net.input.ids: b/table has floating point numbers": {"input": {**good, "ids": "b/table"}},
        "tasks.net.transform.ids: the network takes integers": {"input": good, "transform": {"ids": "normalise"}},
    }

    assert refusals({"net": net(**keys, input=good, transform={"numbers": "normalise"})}) == []
    for said, changes in cases.items():
        assert said in refusals({"net": net(**keys, **changes)})[0]


def test_what_is_known_of_inputs():
    """Shapes are known if all are; rows are those of any input that says so."""
    inputs = {"a": "x/a", "b": "y/b"}
    known = {"x/a": ArraySpec(None, (2,)), "y/b": ArraySpec(9, (3,), split=(3, 3, 3))}

    assert sample_shapes(inputs, known) == {"a": (2,), "b": (3,)}
    assert sample_shapes(inputs, {"x/a": known["x/a"]}) is None
    assert rows_of_inputs(inputs, known) is known["y/b"]
    assert [input_path("input"), input_path("a")] == [("input",), ("input", "a")]
    assert [transform_path("input"), transform_path("a")] == [("transform",), ("transform", "a")]


def test_all_inputs_are_mixed_alike():
    """A sample is mixed as a whole: each input has the same `mixup`, or none has one."""
    mixed, other = (Flip(), Mixup(alpha=0.3)), (Mixup(alpha=0.2),)
    sound = [{}, {"image": (Flip(),)}, {"image": mixed, "table": (Mixup(alpha=0.3),)}]
    text = "mixup mixes whole samples: write it with alpha 0.3 for each input, or for none"

    assert [list(check_mixed(["image", "table"], each)) for each in sound] == [[], [], []]
    assert list(check_mixed([INPUT], {INPUT: mixed})) == []
    for bad in ({"image": mixed}, {"image": mixed, "table": other}):
        assert list(check_mixed(["image", "table"], bad)) == [(("transform", "table"), text)]

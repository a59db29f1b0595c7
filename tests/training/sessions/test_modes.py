"""Joint tasks by turns and stages, heads from the rest of a network, and parameters of earlier runs, in sessions."""

from __future__ import annotations

import numpy as np
import pytest

import hpcmtl
from hpcmtl.data.hdf5 import write_dataset_file
from hpcmtl.errors import InputError
from hpcmtl.exchange.store import PARAMETERS, read_sealed

pytestmark = pytest.mark.slow

SAMPLES = 61
SLOW = {"name": "sgd", "learning_rate": 1e-30}  # parameters stay as they were taken
AUTO = {"kind": "train", "model": {"name": "conv_autoencoder", "channels": [3], "code": 5}, "epochs": 1}
AUTO |= {"input": "small/images", "target": "small/images", "loss": "l2", "engine": "mpi"}
DIGIT = {"model": {"name": "mlp", "outputs": 3}, "target": "small/digit", "loss": "softmax_ce"}
REST = {"kind": "joint", "input": "small/images", "epochs": 1, "engine": "mpi", "optimizer": SLOW}
REST |= {"trunk": {"from": "auto", "part": "encoder"}, "heads": {"image": {"from": "auto", "part": "decoder"}}}


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """Two targets of 61 samples; two thirds of the second are missing."""
    generator = np.random.default_rng(2)
    x = generator.normal(size=(SAMPLES, 6)).astype(np.float32)
    size = np.where(np.arange(SAMPLES) % 3 == 0, x.sum(axis=1), np.nan).astype(np.float32)
    file = tmp_path_factory.mktemp("modes") / "rows.h5"
    write_dataset_file(
        file,
        {"x": x, "y": np.arange(SAMPLES) % 3, "size": size},
        np.where(np.arange(SAMPLES) < 45, 0, 1),
        {"size": {"missing": np.nan}},
    )
    return file


def turns_task(framework, mode, turns=None):
    """A joint task of two heads, one of which has few labels; five steps an epoch."""
    heads = {
        "y": {"model": {"name": "mlp", "outputs": 3}, "target": "rows/y", "loss": "softmax_ce"},
        "size": {"model": {"name": "mlp", "outputs": 1}, "target": "rows/size", "loss": "l2", "missing": "nan"},
    }
    trunk = {"model": {"name": "mlp", "widths": [7], "outputs": 5}}
    keys = {} if turns is None else {"turns": turns}
    optimizer = {"name": "adam", "learning_rate": 0.01, "weight_decay": 0.1}
    return {
        "kind": "joint", "input": "rows/x", "trunk": trunk, "heads": heads, "epochs": 3, "framework": framework,
        "mode": mode, "engine": "mpi", "optimizer": optimizer, **keys,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("framework", "mode", "turns"),
    [("torch", "alternate", "proportional"), ("torch", "serial", None), ("gluon", "alternate", {"y": 3, "size": 2})],
)
def test_layers_on_other_ranks_train_as_one_rank(bench, rows, framework, mode, turns):
    """Turns and resting optimizer states go on from checkpoints, on any number of ranks, also with micro-batches."""
    found, weights = [], []
    for widths, accumulate in (([1, 1, 1], 1), ([2, 1, 3], 2)):
        task = {**turns_task(framework, mode, turns), "accumulate": accumulate}
        made = bench({"t": task}, data={"rows": str(rows)})
        outcomes = made.run_by_layers("t", widths)
        found.append(made.parameters("t"))
        weights.append([each.facts["objective_weights"] for each in outcomes])
    one, many = found

    assert weights[0] == weights[1]
    for name, array in one.items():
        np.testing.assert_allclose(many[name], array, rtol=1e-5, atol=1e-6, err_msg=name)
    shares = {"alternate": {0.6, 0.8}, "serial": {0.0, 0.4, 1.0}}[mode]
    assert {round(each["y"], 9) for each in weights[0]} <= shares


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_heads_rest_in_other_precisions(bench, rows, precision):
    """With a loss scale, and in bfloat16, both heads are trained, each in its stage alone."""
    pytest.importorskip("torch")
    task = {**turns_task("torch", "serial", {"y": 1, "size": 2}), "precision": precision}
    made = bench({"t": task}, data={"rows": str(rows)}, layers=3)
    made.run("t", 2, [0])
    before = read_sealed(made.checkpoints("t")[-1])[0]
    made.run("t", 2, [1, 2])
    after = made.parameters("t")

    assert np.array_equal(before[f"{PARAMETERS}heads.y.output.weight"], after[f"{PARAMETERS}heads.y.output.weight"])
    assert not np.array_equal(before[f"{PARAMETERS}trunk.output.bias"], after[f"{PARAMETERS}trunk.output.bias"])
    assert all(np.isfinite(array).all() for array in after.values())


@pytest.mark.parametrize(("trained", "joined"), [("gluon", "torch"), ("torch", "gluon")])
def test_the_rest_of_a_network_is_the_network(bench, trained, joined):
    """Encoder as trunk and decoder as head give the outputs of the autoencoder, which another framework trained."""
    pytest.importorskip("torch")
    tasks = {
        "auto": {**AUTO, "framework": trained},
        "whole": {**REST, "framework": joined, "needs": {"auto": "parameters"}},
        "again": {
            **REST,
            "framework": trained,
            "needs": {"whole": "parameters"},
            "trunk": {"from": "whole", "part": "trunk"},
            "heads": {"copy": {"from": "whole", "part": "heads.image"}, "digit": DIGIT},
        },
    }
    made = bench(tasks)
    for name in tasks:
        made.run(name, 2)
    networks = {name: hpcmtl.load(made.artifact(name)).network for name in tasks}
    images = np.random.default_rng(3).normal(size=(4, 1, 6, 6)).astype(np.float32)
    expected = networks["auto"].outputs(images)["main"]

    np.testing.assert_allclose(networks["whole"].outputs(images)["image"], expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(networks["again"].outputs(images)["copy"], expected, rtol=1e-5, atol=1e-6)


def test_initialise_crosses_frameworks(bench):
    """Trunk and heads of a joint task take what the patterns name from a joint task of another framework."""
    pytest.importorskip("torch")
    own = {"kind": "joint", "input": "small/images", "epochs": 1, "engine": "mpi"}
    own |= {"trunk": {"model": {"name": "mlp", "outputs": 4}}, "heads": {"digit": DIGIT}}
    tasks = {
        "first": {**own, "framework": "gluon"},
        "second": {
            **own,
            "framework": "torch",
            "optimizer": SLOW,
            "needs": {"first": "parameters"},
            "initialise": {"first": "*.weight"},
        },
    }
    made = bench(tasks)
    for name in tasks:
        made.run(name)
    given, taken = made.parameters("first"), made.parameters("second")

    assert given.keys() == taken.keys()
    assert {name for name in given if np.array_equal(given[name], taken[name])} == {
        PARAMETERS + name for name in ("trunk.output.weight", "heads.digit.output.weight")
    }


def test_parameters_of_an_earlier_run(bench):
    """A task has the parameters of a task of another run directory, and gives them to trunk and head."""
    pytest.importorskip("torch")
    before = bench({"auto": {**AUTO, "framework": "torch"}})
    before.run("auto")
    earlier = {"kind": "pretrained", "run": str(before.directory.path), "task": "auto"}
    image = {"from": "old", "part": "decoder", "target": "small/images", "loss": "l2"}
    rest = {**REST, "framework": "torch", "needs": {"old": "parameters"}, "trunk": {"from": "old", "part": "encoder"}}
    made = bench({"old": earlier, "whole": {**rest, "heads": {"image": image}}})
    made.run("old", 2)
    made.run("whole", 2)
    given, taken = before.parameters("auto"), made.parameters("whole")

    assert len(given) == len(taken)
    for name, array in given.items():
        own = name.replace("decoder", "heads.image").replace("encoder", "trunk")
        np.testing.assert_allclose(taken[own], array, rtol=0, atol=1e-20, err_msg=name)  # the rate of a step is 1e-30


def test_missing_artifacts_are_refused(bench):
    """A run, or a task of it, that is not there is named, with what is there."""
    before = bench({"auto": {**AUTO, "framework": "torch"}})
    before.run("auto")
    run, there = str(before.directory.path), before.artifact("auto")
    with pytest.raises(InputError) as raised:
        bench({"old": {"kind": "pretrained", "run": run}, "none": {"kind": "pretrained", "run": "nowhere"}})
    places = {each.where: each.message for each in raised.value.problems}
    there.write_bytes(there.read_bytes()[:-1000])
    with pytest.raises(InputError, match="auto.h5 cannot be read"):
        bench({"auto": {"kind": "pretrained", "run": run}})

    assert places.keys() == {"job: tasks.old.task", "job: tasks.none.run"}
    assert places["job: tasks.old.task"].endswith("has no artifact of 'old'; valid here: auto")
    assert places["job: tasks.none.run"].endswith("nowhere; name a run directory, or an artifact in one")


def test_an_earlier_network_is_not_run_or_copied_while_it_trains(bench):
    """Tasks that need inputs or targets of the earlier run, and async edges, are refused by name."""
    before = bench({"auto": {**AUTO, "framework": "torch"}})
    before.run("auto")
    tasks = {
        "auto": {"kind": "pretrained", "run": str(before.directory.path)},
        "codes": {"kind": "extract", "output": "encoder", "needs": {"auto": "parameters"}},
        "whole": {**REST, "framework": "torch", "needs": {"auto": {"kind": "parameters", "mode": "async"}}},
    }
    tasks["whole"] |= {"freeze": ["trunk.*"], "heads": {"digit": {**DIGIT}, "image": {"from": "auto"}}}
    with pytest.raises(InputError) as raised:
        bench(tasks)
    said = {each.where.removeprefix("job: tasks."): each.message for each in raised.value.problems}

    assert "do not change while this task runs; leave out `mode: async`" in said["whole.needs.auto"]
    del tasks["whole"]["needs"]["auto"]["mode"]
    with pytest.raises(InputError) as raised:
        bench(tasks)
    said = {each.where.removeprefix("job: tasks."): each.message for each in raised.value.problems}

    assert said["codes.needs"].startswith("auto has the parameters of an earlier run, whose inputs and targets")
    assert said["whole.heads.image"].endswith("add the `loss` of this head")

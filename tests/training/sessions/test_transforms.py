"""Training on transformed samples: that of samples which numpy transformed, and the same on any number of ranks."""

from __future__ import annotations

import json

import numpy as np
import pytest

from hpcmtl.communicators.inproc import RankFailedError
from hpcmtl.data.hdf5 import write_dataset_file
from hpcmtl.training.artifacts.load import load

pytestmark = pytest.mark.slow

SAMPLES, TRAIN = 61, 40
NET = {"kind": "train", "target": "rows/y", "loss": "l2", "metrics": ["mse"], "epochs": 3}
AUGMENTED = ["normalise", {"name": "crop", "padding": 1}, "flip", {"name": "noise", "deviation": 0.2}]


def rows():
    """Images of two channels, of which one is far from zero, and a number each."""
    generator = np.random.default_rng(2)
    images = generator.normal([[[3.0]], [[200.0]]], [[[2.0]], [[30.0]]], (SAMPLES, 2, 4, 4)).astype(np.float32)
    return {"x": images, "y": (images[:, 0].mean(axis=(1, 2)) - 3).astype(np.float32)}


def by_numpy(images):
    """The images with the mean and deviation of each channel over the train rows taken out."""
    train = images[:TRAIN].astype(np.float64)
    mean, deviation = (found(train, axis=(0, 2, 3), keepdims=True) for found in (np.mean, np.std))
    return ((images - mean) / deviation).astype(np.float32)


@pytest.fixture(scope="module")
def made(bench, tmp_path_factory):
    """Make a bench for tasks on a file of the images, and of the images that numpy normalised."""
    file = tmp_path_factory.mktemp("transforms") / "rows.h5"
    split = np.where(np.arange(SAMPLES) < TRAIN, 0, np.where(np.arange(SAMPLES) < 50, 1, 2))
    arrays = rows()
    write_dataset_file(file, {**arrays, "normal": by_numpy(arrays["x"])}, split)
    return lambda tasks, **keys: bench(tasks, data={"rows": str(file)}, **keys)


def net(framework="gluon", **keys):
    """A task that trains on the images."""
    return {**NET, "framework": framework, "model": {"name": "mlp", "outputs": 1}, "input": "rows/x", **keys}


def parameters(done, task="net"):
    """The trained parameters in one row."""
    found = done.parameters(task)
    return np.concatenate([found[name].ravel() for name in sorted(found)])


TESTS = {
    "test": {"kind": "evaluate", "needs": {"net": "parameters"}},
    "made": {"kind": "predict", "needs": {"net": "parameters"}},
}


@pytest.mark.parametrize("framework", ["gluon", "torch"])
def test_normalise_trains_and_evaluates_as_on_samples_of_numpy(made, framework):
    """Weights, validation, evaluation, predictions and a loaded network are those of samples normalised beforehand."""
    if framework == "torch":
        pytest.importorskip("torch")
    found, expected = (
        made({"net": net(framework, transform="normalise"), **TESTS}),
        made({"net": net(framework, input="rows/normal"), **TESTS}),
    )
    metrics = [[done.run(name, 2)[-1].metrics for name in ("net", "test", "made")] for done in (found, expected)]
    outputs = [load(done.artifact("made")).arrays["main"] for done in (found, expected)]
    loaded = load(found.artifact("net")).network.outputs(rows()["x"])["main"]

    np.testing.assert_allclose(parameters(found), parameters(expected), atol=1e-5)
    assert metrics[0][0] == pytest.approx(metrics[1][0], rel=1e-4)
    assert metrics[0][1] == pytest.approx(metrics[1][1], rel=1e-4)
    np.testing.assert_allclose(outputs[0], outputs[1], atol=1e-4)
    np.testing.assert_allclose(loaded, outputs[0], atol=1e-5)
    kept = json.loads((found.directory.transforms / "net.json").read_text())["complete"]
    np.testing.assert_allclose(kept[0]["mean"], rows()["x"][:TRAIN].mean(axis=(0, 2, 3), dtype=np.float64))


@pytest.mark.parametrize("framework", ["gluon", "torch"])
def test_random_transforms_do_not_depend_on_ranks(made, framework):
    """1, 2 and 3 ranks, and ranks that resume a task in the middle of an epoch, end with the same weights."""
    if framework == "torch":
        pytest.importorskip("torch")
    transform = [*AUGMENTED, {"name": "own_transforms:jittered", "arguments": {"strength": 0.2}}]
    found = []
    for ranks in (1, 2, 3, (3, 1, 2, 1)):
        done = made({"net": net(framework, transform=transform)})
        if isinstance(ranks, int):
            done.run("net", ranks)
        else:
            done.run_by_layers("net", ranks)
        found.append(parameters(done))
    plain = made({"net": net(framework, transform="normalise")})
    plain.run("net")

    assert all(np.abs(each - found[0]).max() < 1e-5 for each in found)
    assert np.abs(parameters(plain) - found[0]).max() > 1e-3


def test_a_joint_task_and_samples_of_another_task(made):
    """A joint task has transforms of its own, also of samples that another task made; statistics are of its input."""
    tasks = {
        "raw": {
            "kind": "python",
            "callable": "own_tasks:small_rows",
            "arguments": {"split": True},
            "outputs": ["x", "y", "pair"],
        },
        "net": {**net(loss="softmax_ce", metrics=["accuracy"], model={"name": "mlp", "outputs": 2}, target="raw/y")},
        "joint": {
            "kind": "joint",
            "needs": {"raw": "data", "net": "parameters"},
            "trunk": {"from": "net"},
            "heads": {"y": {"model": {"name": "mlp", "outputs": 2}, "target": "raw/y", "loss": "softmax_ce"}},
            "input": "raw/x",
            "epochs": 1,
            "transform": ["normalise", {"name": "noise", "deviation": 0.1}],
        },
    }
    tasks["net"] |= {"needs": {"raw": "data"}, "input": "raw/x"}
    done = made(tasks)
    for name in ("raw", "net", "joint"):
        done.run(name, 2)
    kept = json.loads((done.directory.transforms / "joint.json").read_text())["complete"]
    x = load(done.artifact("raw")).arrays["x"]

    np.testing.assert_allclose(kept[0]["mean"], x[::3].mean(axis=0, dtype=np.float64), rtol=1e-12)
    np.testing.assert_allclose(kept[0]["deviation"], x[::3].std(axis=0, dtype=np.float64), rtol=1e-12)


def test_samples_of_another_task_are_tried_before_the_first_step(made):
    """A transform that the samples of another task cannot have is refused when they are there, on all ranks."""
    raw = {
        "kind": "python",
        "callable": "own_tasks:small_rows",
        "arguments": {"split": True},
        "outputs": ["x", "y", "pair"],
    }
    keys = {"needs": {"raw": "data"}, "input": "raw/x", "target": "raw/y", "loss": "softmax_ce", "metrics": []}
    task = net(**keys, model={"name": "mlp", "outputs": 2})
    cases = {"flip": "flip takes images of shape", "own_transforms:of_the_batch": "the number of ranks"}
    for transform, said in cases.items():
        done = made({"raw": raw, "net": {**task, "transform": transform}})
        done.run("raw")
        with pytest.raises(RankFailedError) as raised:
            done.run("net", 2)

        assert said in str(raised.value.__cause__)
        assert done.checkpoints("net") == []


def test_kept_numbers_are_used_and_required(made):
    """A resumed task uses the numbers of the run directory; a task that runs the network refuses to do without."""
    done = made({"net": net(transform="normalise", epochs=2), **TESTS})
    done.layers = 2
    done.run("net", 2, [0])
    file = done.directory.transforms / "net.json"
    text = file.read_text()
    file.write_text(text.replace('"mean": [\n', '"mean": [\n1,\n', 1).replace('"complete"', '"given_too"'))
    with pytest.raises(RankFailedError) as raised:
        done.run("net", 2, [1])
    assert "net.json: cannot be read" in str(raised.value.__cause__)

    values = json.loads(text)
    values["complete"][0]["mean"] = [0.0, 0.0]
    file.write_text(json.dumps(values))
    done.run("net", 2, [1])
    assert load(done.artifact("net")).description.input.transforms[0]["mean"] == [0.0, 0.0]

    file.unlink()
    with pytest.raises(RankFailedError) as raised:
        done.run("test", 2, [0, 1])
    assert "net.json: has no mean and deviation, with which net was trained" in str(raised.value.__cause__)


def test_a_loaded_network_draws_as_a_prediction_does(made):
    """Random numbers of transforms with `on: all` belong to the task and the sample, after `hpcmtl.load` as well."""
    jittered = {"name": "own_transforms:jittered", "arguments": {"strength": 0.2}, "on": "all"}
    found = made({"net": net("gluon", transform=[jittered]), **TESTS})
    for name in ("net", "made"):
        found.run(name)
    loaded = load(found.artifact("net")).network.outputs(rows()["x"])["main"]

    np.testing.assert_allclose(loaded, load(found.artifact("made")).arrays["main"], rtol=1e-4, atol=1e-4)

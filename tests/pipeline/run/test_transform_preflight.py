"""Transforms that samples cannot have are refused before any training, by `validate` and `run` alike."""

from __future__ import annotations

import numpy as np
import pytest

from hpcmtl.data.hdf5 import write_dataset_file
from hpcmtl.errors import InputError
from hpcmtl.jobfile.load import parse_job
from hpcmtl.pipeline.prepare import prepare
from hpcmtl.pipeline.run.preflight import preflight

ROWS = 24


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """Images and vectors with classes."""
    path = tmp_path_factory.mktemp("rows") / "rows.h5"
    generator = np.random.default_rng(0)
    arrays = {"x": generator.normal(size=(ROWS, 4)).astype(np.float32), "y": np.arange(ROWS) % 3}
    images = generator.normal(size=(ROWS, 2, 5, 5)).astype(np.float32)
    write_dataset_file(path, {**arrays, "images": images}, np.arange(ROWS) % 3)
    return path


def check(file, transform, **keys):
    """Make the checks before a run of one task with transforms; return what is refused, or nothing."""
    net = {"kind": "train", "input": "rows/x", "target": "rows/y", "loss": "softmax_ce", "epochs": 1}
    task = {**net, "model": {"name": "mlp", "outputs": 3}, "transform": transform, **keys}
    try:
        job = parse_job({"hpcmtl": 1, "job": "checks", "data": {"rows": str(file)}, "tasks": {"net": task}})
        preflight(prepare(job), ["net"])
    except InputError as error:
        return str(error)
    return ""


IMAGES = {"input": "rows/images"}


@pytest.mark.parametrize(
    ("transform", "keys", "said"),
    [
        ("normalise", {}, ""),
        (["normalise", "own_transforms:jittered", {"name": "noise", "deviation": 0.1}], {}, ""),
        (["flip", {"name": "crop", "padding": 2}, {"name": "cutout", "size": 2}], IMAGES, ""),
        ({"name": "normalise", "mean": [0, 1], "deviation": [1, 2]}, IMAGES, ""),
        ("flip", {}, "tasks.net.transform: flip takes images of shape (channels, height, width)"),
        ({"name": "cutout", "size": 6}, IMAGES, "cutout has size 6, but the images are 5 x 5"),
        ({"name": "normalise", "mean": [0], "deviation": [1]}, {}, "normalise has 1 means for samples of shape (4,)"),
        ({"name": "normalise", "mean": [0]}, {}, "`mean` and `deviation` are given together"),
        ({"name": "normalise", "mean": [0, 1], "deviation": [1, 0]}, IMAGES, "deviation"),
        ({"name": "noise"}, {}, "transform.0.deviation: is missing"),
        ({"name": "flip", "on": "val"}, IMAGES, "on"),
        ("mixup", {}, ""),
        (["normalise", {"name": "mixup", "alpha": 1}], {}, ""),
        (
            ["mixup", "normalise"],
            {},
            "`mixup` mixes what the others make of single samples: write it once",
        ),
        ({"name": "mixup", "alpha": 0}, {}, "transform.0.alpha"),
        ({"name": "mixup", "on": "all"}, {}, "on"),
        ([{"name": "noise", "deviation": 1}, "fliip"], {}, "unknown transform 'fliip'; did you mean 'flip'?"),
        ("own_transforms:missing", {}, "tasks.net.transform: own_transforms:missing: cannot be imported"),
        ("own_transforms:NOT_A_FUNCTION", {}, "is a int, not a function"),
        ("own_transforms:fewer", {}, "tasks.net.transform: transform own_transforms:fewer: returns 7 rows for 8"),
        ("own_transforms:smaller", {}, "makes samples of shape (3,), but the network takes (4,)"),
        ("own_transforms:undefined", {}, "makes nan of sample"),
        ("own_transforms:raising", {}, "fails for samples 0, 3, 6 and 5 more: ValueError: on purpose"),
        ("own_transforms:of_global_numbers", {}, "give other values when they are called again"),
        ("own_transforms:patient", {}, "change own_transforms.CALLS in each call: every rank calls them for its own"),
        ("own_transforms:with_table", {}, ""),
        ("own_transforms:of_the_batch", {}, "when other samples are in its batch"),
    ],
)
def test_transforms_are_tried_on_real_samples(file, transform, keys, said):
    """The message has the key of the task and the transform, what was found, and what to do."""
    found = check(file, transform, **keys)

    assert said in found
    assert bool(found) == bool(said)


def test_only_tasks_that_train_have_transforms(file):
    """A task that runs a network takes its transforms, and a head has none: the key is unknown there."""
    net = {"kind": "train", "input": "rows/x", "target": "rows/y", "loss": "softmax_ce", "epochs": 1}
    tasks = {"net": {**net, "model": {"name": "mlp", "outputs": 3}}}
    tasks["test"] = {"kind": "evaluate", "needs": {"net": "parameters"}, "transform": "normalise"}
    with pytest.raises(InputError, match="tasks.test.transform"):
        parse_job({"hpcmtl": 1, "job": "checks", "data": {"rows": str(file)}, "tasks": tasks})

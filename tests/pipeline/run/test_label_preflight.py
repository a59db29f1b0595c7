"""Train labels and samplers that a session would refuse are refused before any training, by `validate` and `run`."""

from __future__ import annotations

import numpy as np
import pytest

from hpcmtl.data.hdf5 import write_dataset_file
from hpcmtl.data.sequences import sequences_of
from hpcmtl.errors import InputError
from hpcmtl.jobfile.load import parse_job
from hpcmtl.pipeline.prepare import prepare
from hpcmtl.pipeline.run.preflight import preflight

ROWS = 30
SPLIT = np.arange(ROWS) % 3
CLASSES = np.arange(ROWS) // 10
TRAIN = SPLIT == 0
OF_VAL = np.where(TRAIN, -1, CLASSES)
MASK = (~TRAIN).astype(np.uint8)
SHOTS = {"how": "k_shot", "k": 5}


def check(tmp_path, arrays, begun=(), **keys):
    """Make the checks before a run of one task with three classes; return what is refused, or nothing."""
    x = np.random.default_rng(0).normal(size=(ROWS, 4)).astype(np.float32)
    write_dataset_file(tmp_path / "rows.h5", {"x": x, "y": CLASSES, **arrays}, SPLIT, overwrite=True)
    net = {"kind": "train", "input": "rows/x", "target": "rows/y", "loss": "softmax_ce", "epochs": 1}
    task = {**net, "model": {"name": "mlp", "outputs": 3}, **keys}
    job = {"hpcmtl": 1, "job": "labels", "data": {"rows": str(tmp_path / "rows.h5")}, "tasks": {"net": task}}
    try:
        preflight(prepare(parse_job(job)), ["net"], begun)
    except InputError as error:
        return str(error)
    return ""


NONE_KNOWN = "y: none of the 10 labels to train on is known; look at `missing` or `mask` of the task"


@pytest.mark.parametrize(
    ("arrays", "keys", "said"),
    [
        ({"y": OF_VAL}, {"missing": -1}, f"tasks.net.target: {{file}}: {NONE_KNOWN}"),
        ({"m": MASK}, {"mask": "rows/m"}, f"tasks.net.target: {{file}}: {NONE_KNOWN}"),
        ({"y": np.where(np.arange(ROWS) > 8, -1, CLASSES)}, {"missing": -1}, ""),
        ({}, {"sampler": SHOTS}, "tasks.net.sampler: {file}: y: class 0 has 4 train samples, fewer than `k: 5`"),
        ({}, {"sampler": {**SHOTS, "k": 3}}, ""),
        ({}, {"sampler": {**SHOTS, "classes": "rows/z"}}, "tasks.net.sampler.classes"),
        ({"z": CLASSES % 2}, {"sampler": {**SHOTS, "classes": "rows/z"}}, "z: class 1 has 3 train samples, fewer than"),
        ({"y": OF_VAL}, {"missing": -1, "sampler": SHOTS}, "none of the 10 class numbers is known"),
        ({"w": MASK}, {"sampler": {"how": "weighted", "weights": "rows/w"}}, "weights of the train samples are 0"),
    ],
)
def test_labels_and_samplers_are_read_before_the_run(tmp_path, arrays, keys, said):
    """No known train label, a class with fewer than k, and weights of 0 have the key of the task, file and remedy."""
    found = check(tmp_path, arrays, **keys)

    assert said.format(file=tmp_path / "rows.h5") in found
    assert bool(found) == bool(said)


def test_a_place_is_refused_once(tmp_path):
    """Labels that the checks of values refuse are not refused again, and a task that has begun goes on."""
    bad = check(tmp_path, {"y": CLASSES - 2}, class_weights="balanced")

    assert bad.count("tasks.net.target") == 1
    assert check(tmp_path, {}, ["net"], sampler=SHOTS) == ""


def test_padding_is_no_known_label(tmp_path):
    """Labels of tokens that are all missing in the train split are refused, as the padding behind them is no label."""
    lengths = 1 + np.arange(ROWS) % 4
    arrays = {
        "words": sequences_of([np.ones(each, np.int64) for each in lengths]),
        "tags": sequences_of([np.full(each, -1 if train else 1) for each, train in zip(lengths, TRAIN, strict=True)]),
    }
    model = {"name": "embedding_rnn", "vocabulary": 3, "embedding": 2, "hidden": 2, "outputs": 3}
    model["per_token"] = True
    keys = {"input": "rows/words", "target": "rows/tags", "missing": -1, "per_token": True, "framework": "torch"}

    assert NONE_KNOWN.replace("y:", "tags:") in check(tmp_path, arrays, model=model, **keys)

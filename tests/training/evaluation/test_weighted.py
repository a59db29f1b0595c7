"""Metrics that count samples by their weights, in validation and in evaluate tasks, at any width."""

from __future__ import annotations

import numpy as np
import pytest

from hpcmtl.data.hdf5 import read_split
from hpcmtl.data.reader import open_array
from hpcmtl.errors import InputError
from hpcmtl.training.artifacts.load import load


@pytest.mark.parametrize("ranks", [1, 3])
def test_validation_and_evaluation(bench, task, small_file, ranks):
    """Both equal numpy's weighted mean over the outputs that the published network gives."""
    tasks = {
        "net": task(metrics=["weighted_accuracy", "accuracy"], sample_weights="small/weight", epochs=2),
        "report": {"kind": "evaluate", "needs": {"net": "parameters"}, "split": "val"},
        "test": {"kind": "evaluate", "needs": {"net": "parameters"}, "metrics": ["weighted_log_loss"]},
    }
    made = bench(tasks)
    trained, report, test = (made.run(name, ranks)[0].metrics for name in tasks)
    arrays = {}
    for name in ("images", "digit", "weight"):
        with open_array(small_file, name) as reader:
            arrays[name] = reader.exact()
    scores = load(made.artifact("net")).network.outputs(arrays["images"])["main"].astype(np.float64)
    val, rest = read_split(small_file) == 1, read_split(small_file) == 2
    right = scores.argmax(axis=1) == arrays["digit"]
    losses = np.log(np.exp(scores).sum(axis=1)) - scores[np.arange(61), arrays["digit"]]

    assert report["weighted_accuracy"] == pytest.approx(np.average(right[val], weights=arrays["weight"][val]))
    assert trained["val_weighted_accuracy"] == pytest.approx(report["weighted_accuracy"])
    assert report["accuracy"] == pytest.approx(right[val].mean())
    assert test == {
        "weighted_log_loss": pytest.approx(np.average(losses[rest], weights=arrays["weight"][rest]), rel=1e-5)
    }


@pytest.mark.parametrize("where", ["net", "report"])
def test_weights_that_are_missing_are_named(bench, task, where):
    """A weighted metric of a task without sample weights is refused before the run."""
    metrics = {"metrics": ["weighted_accuracy"]}
    tasks = {
        "net": task(**(metrics if where == "net" else {})),
        "report": {"kind": "evaluate", "needs": {"net": "parameters"}, **(metrics if where == "report" else {})},
    }
    with pytest.raises(InputError) as error:
        bench(tasks)

    said = "weighted_accuracy counts samples by `sample_weights`, and the task has none: add them, or write accuracy"
    assert f"tasks.{where}.metrics: {said}" in str(error.value)

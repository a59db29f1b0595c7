"""Metrics on validation samples go by the split that the data have when the task runs."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics

from hpcmtl.communicators.inproc import RankFailedError
from hpcmtl.data.hdf5 import write_dataset_file
from hpcmtl.errors import InputError
from hpcmtl.results.events import TaskNoted
from hpcmtl.training.artifacts.load import load

MADE = {"kind": "python", "callable": "own_tasks:small_rows", "outputs": ["x", "y", "pair"]}
MLP = {"name": "mlp", "outputs": 2}
FROM_MADE = {
    "kind": "train",
    "needs": {"made": "data"},
    "model": MLP,
    "input": "made/x",
    "target": "made/y",
    "loss": "softmax_ce",
    "metrics": ["accuracy"],
    "epochs": 2,
}
JOINT = {
    "kind": "joint",
    "needs": {"made": "data", "net": "parameters"},
    "input": "made/x",
    "trunk": {"from": "net"},
    "heads": {
        name: {"model": MLP, "target": "made/y", "loss": "softmax_ce", "metrics": ["accuracy"]} for name in ("a", "b")
    },
    "epochs": 1,
}


@pytest.mark.parametrize("ranks", [1, 2])
def test_data_of_a_python_task_are_validated(bench, ranks):
    """Metrics of a train task and of each head of a joint task, on the split that a callable returned."""
    tasks = {
        "made": {**MADE, "arguments": {"split": True}},
        "net": FROM_MADE,
        "both": JOINT,
        "report": {"kind": "evaluate", "needs": {"made": "data", "net": "parameters"}, "split": "val"},
    }
    done = bench(tasks)
    done.run("made")
    told = []
    trained, joint = (done.run(name, ranks, record=told.append)[0].metrics for name in ("net", "both"))

    assert trained["val_accuracy"] == done.run("report", ranks)[0].metrics["accuracy"]
    assert {"a.val_accuracy", "b.val_accuracy"} <= joint.keys()
    assert not any(isinstance(event, TaskNoted) for event in told)


def test_a_run_says_once_that_there_is_nothing_to_validate(bench):
    """A callable that returns no split: one note a task names the metrics, also in sessions of their own."""
    done = bench({"made": MADE, "net": FROM_MADE, "both": JOINT, "never": {**FROM_MADE, "validate_every": 0}})
    done.run("made")
    told = []
    done.layers = 2
    for layer in range(2):
        done.run("net", 1, [layer], record=told.append)
    done.layers = 1
    for name in ("both", "never"):
        done.run(name, 1, record=told.append)
    notes = [(event.task, event.text.partition(" missing")[0]) for event in told if isinstance(event, TaskNoted)]

    assert notes == [
        ("net", "the data have no samples in the val split: val_accuracy"),
        ("both", "the data have no samples in the val split: a.val_accuracy, b.val_accuracy"),
    ]


def test_weights_of_another_shape_are_refused_when_they_are_made(bench):
    """A callable makes two numbers a sample, which only its run shows: the training names key and shape."""
    done = bench({"made": MADE, "net": {**FROM_MADE, "sample_weights": "made/pair"}})
    done.run("made")

    with pytest.raises(RankFailedError) as raised:
        done.run("net")

    assert isinstance(raised.value.__cause__, InputError)
    assert "tasks.net.sample_weights: a sample has one weight, but made/pair has" in str(raised.value.__cause__)


@pytest.mark.parametrize("ranks", [1, 3])
def test_several_labels_over_ranks(bench, tmp_path, ranks):
    """Validation and evaluation have scikit-learn's values of the published network, weights included."""
    rng = np.random.default_rng(2)
    x, weights = rng.normal(size=(61, 6)).astype(np.float32), rng.uniform(0.5, 2, 61)
    tags = (x[:, :3] + rng.normal(size=(61, 3)) > 0).astype(np.float32)
    some, val = np.where(rng.random(tags.shape) < 0.3, np.nan, tags), np.arange(61) >= 40
    write_dataset_file(
        tmp_path / "tags.h5", {"x": x, "w": weights, "tags": tags, "some": some}, val * 1, {"some": {"missing": np.nan}}
    )
    net = {"kind": "train", "model": {"name": "mlp", "outputs": 3}, "input": "tags/x", "epochs": 2}
    net |= {"loss": "sigmoid_bce", "sample_weights": "tags/w"}
    metrics = ["f1_macro", "weighted_hamming_loss", "auc_macro"]
    done = bench(
        {
            "whole": {**net, "target": "tags/tags", "metrics": metrics},
            "partly": {**net, "target": "tags/some", "missing": "nan", "metrics": ["f1_micro", "weighted_f1_micro"]},
            "report": {"kind": "evaluate", "needs": {"partly": "parameters"}, "split": "val"},
        },
        data={"tags": str(tmp_path / "tags.h5")},
    )
    whole, partly, report = (done.run(name, ranks)[-1].metrics for name in ("whole", "partly", "report"))
    scores, few = (load(done.artifact(name)).network.outputs(x)["main"] for name in ("whole", "partly"))
    seen = np.isfinite(some) & val[:, None]
    counts = np.broadcast_to(weights[:, None], seen.shape)[seen]

    assert {name: whole[f"val_{name}"] for name in metrics} == pytest.approx(
        {
            "f1_macro": sklearn.metrics.f1_score(tags[val], scores[val] > 0, average="macro"),
            "weighted_hamming_loss": sklearn.metrics.hamming_loss(
                tags[val], scores[val] > 0, sample_weight=weights[val]
            ),
            "auc_macro": sklearn.metrics.roc_auc_score(tags[val], scores[val]),
        }
    )
    assert report == pytest.approx(
        {
            "f1_micro": sklearn.metrics.f1_score(some[seen], few[seen] > 0),
            "weighted_f1_micro": sklearn.metrics.f1_score(some[seen], few[seen] > 0, sample_weight=counts),
        }
    )
    assert partly["val_f1_micro"] == report["f1_micro"]


def test_masks_of_samples_and_of_labels_are_pooled(bench, tmp_path):
    """Two sources, one with a mask of samples and one of labels: the metric is the mean over all known labels."""
    generator, known, sources = np.random.default_rng(3), {}, {}
    for name, rows, shape in (("samples", 40, ()), ("labels", 60, (2,))):
        mask, split = generator.integers(0, 2, (rows, *shape)), np.arange(rows) % 2
        x, y = (generator.normal(size=(rows, 2)).astype(np.float32) for _ in range(2))
        write_dataset_file(tmp_path / f"{name}.h5", {"x": x, "y": y, "m": mask}, split)
        known[name] = np.sum(mask[split == 1]) * (1 if shape else 2)
        sources[name] = {"input": f"{name}/x", "target": f"{name}/y", "mask": f"{name}/m"}
    task = {"kind": "train", "framework": "torch", "model": MLP, "loss": "l2", "metrics": ["mse"], "epochs": 1}
    done = bench({"net": {**task, "sources": sources}}, data={name: str(tmp_path / f"{name}.h5") for name in sources})
    found = done.run("net")[0].metrics

    expected = sum(known[name] * found[f"{name}.val_mse"] for name in sources) / sum(known.values())
    assert found["val_mse"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("metric", ["mse", "r2"])
def test_heads_of_a_source_without_validation_samples(bench, metric):
    """Of two sources one came with a split: the head of the other has no metric, by sums or by gathered rows."""
    heads = {name: {"model": MLP, "loss": "l2", "metrics": [metric]} for name in ("a", "b")}
    sources = {
        "left": {"input": "left/x", "targets": {"a": "left/pair"}},
        "right": {"input": "right/x", "targets": {"b": "right/pair"}},
    }
    both = {"kind": "joint", "framework": "torch", "trunk": {"model": MLP}, "heads": heads, "epochs": 1}
    tasks = {
        "left": {**MADE, "arguments": {"split": True}},
        "right": MADE,
        "both": {**both, "sources": sources, "needs": {"left": "data", "right": "data"}},
    }
    done = bench(tasks)
    done.run("left")
    done.run("right")
    found = done.run("both", 2)[0].metrics

    assert np.isfinite(found[f"a.val_{metric}"])
    assert f"b.val_{metric}" not in found

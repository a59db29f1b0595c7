"""A run by mpirun on three ranks that reports every metric, compared with scikit-learn on what its networks give."""

from __future__ import annotations

import json
from functools import partial

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics as sk
from jobs import family
from runs import run_python
from scipy.special import softmax

import hpcmtl
from hpcmtl.data.hdf5 import write_dataset_file
from hpcmtl.jobfile.metrics import METRICS, METRICS_OF_CLASSES, METRICS_OF_LABELS, METRICS_OF_NUMBERS

pytest.importorskip("torch")
pytestmark = [pytest.mark.mpi, pytest.mark.slow, pytest.mark.timeout(600)]

OWN = "user_code:cubes"
PLACES = {"top_k_accuracy": "top_k_accuracy@2"}
CLASSES = [PLACES.get(name, name) for name in METRICS_OF_CLASSES if name not in {"mrr", "ndcg"}]
QUICK = {"batch_size": 24, "optimizer": {"name": "adam", "learning_rate": 0.01}}
TRUNK = {"model": {"name": "mlp", "widths": [16], "outputs": 8}}
HEADS = {
    "kind": {"model": {"name": "mlp", "outputs": 3}, "target": "rows/kind", "missing": -1, "loss": "softmax_ce"},
    "tags": {"model": {"name": "mlp", "outputs": 4}, "target": "rows/tags", "loss": "sigmoid_bce"},
    "sizes": {"model": {"name": "mlp", "outputs": 2}, "target": "rows/sizes", "missing": "nan", "loss": "l2"},
}
ASKED = {
    "kind": ["accuracy", "f1_macro", "weighted_ece@7", "mrr", OWN],
    "tags": ["average_precision", "precision_micro", "weighted_recall_macro"],
    "sizes": ["rmse", "mae", "weighted_mape", "pearson", "spearman", OWN],
}
JOINT = {
    "kind": "joint",
    "input": "rows/x",
    "sample_weights": "rows/weight",
    "trunk": TRUNK,
    "heads": {name: {**head, "metrics": ASKED[name]} for name, head in HEADS.items()},
    "epochs": 3,
    "ranks": 3,
}


def alone(head, metrics):
    """A train task with one of the heads."""
    return {
        "kind": "train",
        "input": "rows/x",
        "sample_weights": "rows/weight",
        **HEADS[head],
        "epochs": 2,
        "ranks": 3,
        "metrics": [],
        **metrics,
    }


def evaluated(name, metrics):
    """An evaluate task of some metrics, with and without weights."""
    forms = [*metrics, *(f"weighted_{each}" for each in metrics if each.partition("@")[0] not in {"mrr", "ndcg"})]
    return {"kind": "evaluate", "needs": {name: "parameters"}, "metrics": forms, "ranks": 3}


DOCUMENTS = {
    "kind": "train",
    "input": "rows/x",
    "target": "rows/relevance",
    "query": "rows/query",
    "model": {"name": "mlp", "outputs": 1},
    "loss": "l2",
    "framework": "torch",
    "metrics": ["ndcg", "ndcg@3", "mrr"],
    "epochs": 2,
    "ranks": 3,
}
TASKS = {
    "joint": JOINT,
    "kind": alone("kind", {"framework": "torch"}),
    "tags": alone("tags", {}),
    "sizes": alone("sizes", {}),
    "ranked": DOCUMENTS,
    "kind_test": evaluated("kind", [*CLASSES, "mrr", "ndcg"]),
    "tags_test": evaluated("tags", METRICS_OF_LABELS),
    "sizes_test": evaluated("sizes", METRICS_OF_NUMBERS),
    "ranked_test": {"kind": "evaluate", "needs": {"ranked": "parameters"}, "ranks": 3},
    "rare": {**alone("kind", {}), "missing": None, "target": "rows/rare", "metrics": ["auc", "accuracy"]},
}
SAMPLES = 420


def make_rows(file):
    """Writes samples with labels of all kinds, some of them missing, and documents of 60 queries with large numbers."""
    rng = np.random.default_rng(7)
    x = rng.normal(size=(SAMPLES, 6)).astype(np.float32)
    kind = (x @ rng.normal(size=(6, 3)) + rng.normal(size=(SAMPLES, 3))).argmax(axis=1)
    sizes = x @ rng.normal(size=(6, 2)) + rng.normal(size=(SAMPLES, 2)) + 4
    split = np.arange(SAMPLES) % 3
    arrays = {
        "x": x,
        "kind": np.where(rng.random(SAMPLES) < 0.2, -1, kind),
        "tags": (x @ rng.normal(size=(6, 4)) + rng.normal(size=(SAMPLES, 4)) > 0.5).astype(np.int64),
        "sizes": np.where(rng.random((SAMPLES, 2)) < 0.3, np.nan, sizes),
        "weight": rng.choice([0.0, 0.5, 1.0, 3.0], SAMPLES),
        "relevance": rng.integers(0, 4, SAMPLES).astype(np.float32),
        "query": 2**40 + rng.integers(0, 60, SAMPLES),
        "rare": np.where(split == 1, kind % 2, kind),  # no sample of the validation split has class 2
    }
    write_dataset_file(file, arrays, split, {"kind": {"missing": -1}, "sizes": {"missing": np.nan}})
    return arrays, split


@pytest.fixture(scope="module")
def run(start_once, tmp_path_factory):
    """The run, its arrays, and their split."""
    file = tmp_path_factory.mktemp("rows") / "rows.h5"
    arrays, split = make_rows(file)
    job = family(ranks=3, data={"rows": str(file)}, tasks=TASKS, defaults=QUICK)
    return start_once(job).finish(400), arrays, split


def outputs_of(run, task):
    """Returns the outputs of a published network for all samples."""
    done, arrays, _ = run
    return hpcmtl.load(done.directory / f"artifacts/{task}.h5").network.outputs(arrays["x"])


def of_classes(scores, truth, weights):
    """Metrics of class numbers by scikit-learn."""
    chances, classes = softmax(scores.astype(np.float64), axis=1), range(scores.shape[1])
    made, one_hot, by = scores.argmax(axis=1), np.eye(scores.shape[1])[truth], {"sample_weight": weights}
    confidence, bins = chances.max(axis=1), np.ceil(chances.max(axis=1) * 15).astype(int)
    counts = np.ones(len(truth)) if weights is None else weights
    gaps = [(counts * ((made == truth) - confidence))[bins == each].sum() for each in range(16)]
    areas = [sk.roc_auc_score(truth == k, chances[:, k], **by) for k in classes]
    found = {
        "accuracy": sk.accuracy_score(truth, made, **by),
        "balanced_accuracy": sk.balanced_accuracy_score(truth, made, **by),
        "f1_macro": sk.f1_score(truth, made, average="macro", **by),
        "precision_macro": sk.precision_score(truth, made, average="macro", zero_division=0, **by),
        "recall_macro": sk.recall_score(truth, made, average="macro", zero_division=0, **by),
        "top_k_accuracy@2": sk.top_k_accuracy_score(truth, scores, k=2, **by),
        "auc": np.mean(areas),
        "average_precision": sk.average_precision_score(one_hot, chances, **by),
        "log_loss": sk.log_loss(truth, chances, labels=classes, **by),
        "ece": np.abs(gaps).sum() / counts.sum(),
    }
    if weights is None:
        found["mrr"] = sk.label_ranking_average_precision_score(one_hot, scores)
        found["ndcg"] = sk.ndcg_score(one_hot, scores)
    return found


def of_labels(scores, truth, weights):
    """Metrics of several labels a sample by scikit-learn."""
    made, by = (scores > 0).astype(int), {"sample_weight": weights}
    shares = {"f1": sk.f1_score, "precision": sk.precision_score, "recall": sk.recall_score}
    found = {
        f"{name}_{average}": function(truth, made, average=average, zero_division=0, **by)
        for name, function in shares.items()
        for average in ("micro", "macro")
    }
    return {
        **found,
        "hamming_loss": sk.hamming_loss(truth, made, **by),
        "subset_accuracy": sk.accuracy_score(truth, made, **by),
        "auc_macro": sk.roc_auc_score(truth, scores, average="macro", **by),
        "average_precision": sk.average_precision_score(truth, scores, average="macro", **by),
        "ranking_loss": sk.label_ranking_loss(truth, scores, **by),
    }


def of_numbers(made, truth, weights):
    """Metrics of numbers by scikit-learn and SciPy: over all known labels, or the mean over the columns."""
    known = ~np.isnan(truth)
    counts = np.broadcast_to((np.ones(len(truth)) if weights is None else weights)[:, None], truth.shape)
    pooled = {"mse": sk.mean_squared_error, "mae": sk.mean_absolute_error, "mape": sk.mean_absolute_percentage_error}
    columns = {"rmse": sk.root_mean_squared_error, "r2": sk.r2_score}
    found = {name: each(truth[known], made[known], sample_weight=counts[known]) for name, each in pooled.items()}
    for name, each in columns.items():
        rows = [(truth[known[:, k], k], made[known[:, k], k], counts[known[:, k], k]) for k in range(truth.shape[1])]
        found[name] = np.mean([each(one, other, sample_weight=weight) for one, other, weight in rows])
    for name, each in (("pearson", scipy.stats.pearsonr), ("spearman", scipy.stats.spearmanr)):
        times = [np.rint(2 * counts[known[:, k], k]).astype(int) for k in range(truth.shape[1])]  # 2 * 0.5 = 1
        rows = [(np.repeat(truth[known[:, k], k], n), np.repeat(made[known[:, k], k], n)) for k, n in enumerate(times)]
        found[name] = np.mean([each(*pair)[0] for pair in rows])
    return found


@pytest.mark.parametrize(
    ("head", "reference"),
    [("kind", of_classes), ("tags", of_labels), ("sizes", of_numbers)],
    ids=["kind", "tags", "sizes"],
)
def test_every_metric_equals_scikit_learn_on_the_union_of_ranks(run, head, reference):
    """With and without the weights of samples, over the known labels of the test split."""
    done, arrays, split = run
    assert done.returncode == 0, done.said
    found, made = done.results["tasks"][f"{head}_test"], outputs_of(run, head)["main"]
    there = split == 2 if head == "sizes" else (split == 2) & (arrays[head].reshape(SAMPLES, -1)[:, 0] >= 0)
    weighted = there & (arrays["weight"] > 0)
    wanted = reference(made[there], arrays[head][there], None)
    with_weights = reference(made[weighted], arrays[head][weighted], arrays["weight"][weighted])
    wanted |= {f"weighted_{name}": each for name, each in with_weights.items() if name not in {"mrr", "ndcg"}}

    assert found["metrics"] == {name: pytest.approx(each, rel=2e-5, abs=1e-6) for name, each in wanted.items()}
    assert found["undefined"] == {}
    if head == "kind":
        truth, classes = arrays[head][there], made[there].argmax(axis=1)
        table = partial(sk.confusion_matrix, truth, classes)
        assert found["tables"]["confusion_matrix"] == table().tolist()
        by_weight = table(sample_weight=arrays["weight"][there])
        assert found["tables"]["weighted_confusion_matrix"] == by_weight.tolist()


def test_all_metrics_of_this_version_were_asked_for():
    """A metric that is added is compared as well."""
    asked = {
        each.partition("@")[0] for name in ("kind_test", "tags_test", "sizes_test") for each in TASKS[name]["metrics"]
    }

    assert asked == set(METRICS)


def test_validation_of_heads_reports_the_same_values(run):
    """A joint task on three ranks, with metrics of the user's, weights and missing labels."""
    done, arrays, split = run
    found, made, val = done.results["tasks"]["joint"]["metrics"], outputs_of(run, "joint"), split == 1
    known, weights = val & (arrays["kind"] >= 0), arrays["weight"]
    sizes, labels = made["sizes"][val].astype(np.float64), arrays["sizes"][val]
    there = ~np.isnan(labels)
    of_sizes = np.broadcast_to(weights[val][:, None], labels.shape)[there]
    wanted = {
        **{f"kind.val_{k}": v for k, v in of_classes(made["kind"][known], arrays["kind"][known], None).items()},
        **{f"tags.val_{k}": v for k, v in of_labels(made["tags"][val], arrays["tags"][val], None).items()},
        **{f"sizes.val_{k}": v for k, v in of_numbers(sizes, labels, None).items()},
        "tags.val_weighted_recall_macro": sk.recall_score(
            arrays["tags"][val], made["tags"][val] > 0, average="macro", sample_weight=weights[val]
        ),
        "sizes.val_weighted_mape": of_numbers(sizes, labels, weights[val])["mape"],
        f"sizes.val_{OWN}": np.average(np.abs(sizes[there] - labels[there]) ** 3, weights=of_sizes),
    }

    assert {f"{head}.val_{name}" for head, names in ASKED.items() for name in names} <= found.keys()
    for name in set(wanted) & set(found):
        assert found[name] == pytest.approx(wanted[name], rel=2e-5, abs=1e-6), name
    own = np.abs(made["kind"][known].argmax(axis=1) - arrays["kind"][known]) ** 3
    assert found[f"kind.val_{OWN}"] == pytest.approx(np.average(own, weights=weights[known]))


def test_documents_are_ranked_by_query_over_ranks(run):
    """Queries whose documents lie on several ranks, by numbers that float32 would merge."""
    done, arrays, split = run
    made, wanted = outputs_of(run, "ranked")["main"].reshape(-1), {}
    for name, place in (("val_", 1), ("", 2)):
        rows = [np.flatnonzero((split == place) & (arrays["query"] == each)) for each in np.unique(arrays["query"])]
        rows = [each for each in rows if len(each)]
        for metric, k in (("ndcg", None), ("ndcg@3", 3)):
            # scikit-learn refuses a query with one document: it has its ideal order, unless no document is relevant
            values = [
                sk.ndcg_score([arrays["relevance"][each]], [made[each]], k=k)
                if len(each) > 1
                else float(arrays["relevance"][each][0] > 0)
                for each in rows
            ]
            wanted[name + metric] = np.mean(values)
        orders = [arrays["relevance"][each][np.argsort(-made[each])] > 0 for each in rows]
        wanted[f"{name}mrr"] = np.mean([1 / (1 + each.argmax()) if each.any() else 0 for each in orders])
    found = {**done.results["tasks"]["ranked"]["metrics"], **done.results["tasks"]["ranked_test"]["metrics"]}

    assert {name: found[name] for name in wanted} == {name: pytest.approx(each) for name, each in wanted.items()}


def test_a_class_without_samples_is_null_with_its_reason(run):
    """In results.json, in the ledger, and in words; other metrics of the task have their values."""
    done, _, _ = run
    text = (done.directory / "results.json").read_text(encoding="utf-8")
    result = json.loads(text, parse_constant=lambda _: 1 / 0)["tasks"]["rare"]
    (event,) = [each for each in done.events if each["event"] == "layer_ended" and each["task"] == "rare"][-1:]

    for found in (result, event):
        assert found["metrics"]["val_auc"] is None
        assert found["undefined"] == {"val_auc": "none of the 140 targets is of class 2"}
        assert 0 < found["metrics"]["val_accuracy"] <= 1
    assert "rare: val_auc has no value: none of the 140 targets is of class 2" in done.said


def test_a_function_that_is_no_metric_is_refused_before_the_run(tmp_path):
    """`validate` calls it with rows of the shapes of the task."""
    make_rows(tmp_path / "rows.h5")
    (tmp_path / "mine.py").write_text("def shapes(outputs, targets, weights):\n    return (outputs - targets).mean()\n")
    task = {**alone("kind", {}), "metrics": ["mine:shapes", "mine:absent"]}
    job = {
        "hpcmtl": 1,
        "job": "own",
        "ranks": 3,
        "data": {"rows": "rows.h5"},
        "defaults": QUICK,
        "tasks": {"kind": task},
    }
    (tmp_path / "own.yaml").write_text(json.dumps(job))
    said = run_python(tmp_path, "-m", "hpcmtl", "validate", "own.yaml")

    assert said.returncode == 2
    assert "metric 'mine:shapes': fails with ValueError: operands could not be broadcast" in said.stderr + said.stdout
    assert "mine.py:2" in said.stderr + said.stdout
    assert "mine:absent: cannot be imported" in said.stderr + said.stdout

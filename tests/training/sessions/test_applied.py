"""Extract, predict and evaluate give the same arrays and metrics on any number of ranks, in any number of layers."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from hpcmtl.communicators.inproc import RankFailedError
from hpcmtl.data.hdf5 import describe, numbers_in, read_split
from hpcmtl.data.reader import open_array
from hpcmtl.networks.description import Leaf
from hpcmtl.training.gluon.network import GluonNetwork
from hpcmtl.training.session import checkpoints_of

SAMPLES = 61
# (array, task, part, ranks, layers); in 31 layers some have fewer samples than ranks.
FORMS = [
    ("values", "code", "body", 1, 1),
    ("values", "code", "body", 2, 4),
    pytest.param("values", "code", "body", 3, 31, marks=pytest.mark.slow),
    pytest.param("main", "scores", None, 1, 3, marks=pytest.mark.slow),
    ("main", "scores", None, 3, 1),
]


def tasks_of(task):
    """A trained net, and every way to apply it."""
    return {
        "digit": task(epochs=6, metrics=["accuracy", "auc", "mrr", "ndcg"]),
        "size": task(
            target="small/size", loss="l2", model={"name": "mlp", "widths": [4], "outputs": 1}, metrics=["mse", "r2"]
        ),
        "code": {"kind": "extract", "needs": {"digit": "parameters"}, "output": "body", "batch_size": 7},
        "scores": {"kind": "predict", "needs": {"digit": "parameters"}, "batch_size": 7},
        "report": {"kind": "evaluate", "needs": {"digit": "parameters"}, "batch_size": 7},
        "sizes": {"kind": "evaluate", "needs": {"size": "parameters"}, "batch_size": 7},
        "trained_on": {"kind": "evaluate", "needs": {"digit": "parameters"}, "split": "train", "metrics": ["accuracy"]},
    }


@pytest.fixture(scope="module")
def trained(bench, task):
    """A bench with both nets trained; what is applied to them is written anew by each test."""
    made = bench(tasks_of(task))
    made.run("digit")
    made.run("size")
    return made


def read(path, name):
    """A whole array of a data file."""
    with open_array(path, name) as reader:
        return reader.read(0, reader.samples)


def direct(trained, name="digit", part=None):
    """Returns the outputs of the network itself for all samples in one batch."""
    model = trained.prepared.job.tasks[name].model
    network = GluonNetwork(Leaf(model), {"input": (1, 6, 6)}, ["main"], seed=0)
    network.load_parameters(trained.parameters(name))
    (made,) = network.outputs({"input": read(trained.prepared.files["small"], "images")}, part).values()
    return made


@pytest.mark.parametrize(("array", "name", "part", "ranks", "layers"), FORMS)
def test_published_arrays_do_not_depend_on_ranks_and_layers(trained, array, name, part, ranks, layers):
    """Every sample has its row, in stored order, as the network makes it; the split goes along."""
    trained.layers = layers
    trained.run(name, ranks)
    path = trained.artifact(name)

    np.testing.assert_allclose(read(path, array), direct(trained, part=part), rtol=1e-5, atol=1e-6)
    assert np.array_equal(read_split(path), read_split(trained.prepared.files["small"]))
    assert describe(path).samples == SAMPLES


def test_a_damaged_part_is_made_again(trained, caplog):
    """Rows of an earlier layer that cannot be read any more cost that layer, and are published as all others."""
    trained.layers = 3
    trained.run("code", 2, [0, 1])
    part = checkpoints_of(trained.directory, "code") / "layer-000.h5"
    part.write_bytes(part.read_bytes()[:1000])
    trained.run("code", 2, [2])

    assert "task code: layer 0 is run again" in caplog.text
    made = read(trained.artifact("code"), "values")
    np.testing.assert_allclose(made, direct(trained, part="body"), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("ranks", "layers"), [(1, 1), (2, 3), (3, 13)])  # in 13 layers two of three ranks are idle
def test_metrics_are_those_of_scikit_learn(trained, ranks, layers):
    """Over all predictions of the split at once, whatever ranks and layers they came from."""
    trained.layers = layers
    found = trained.run("report", ranks)[-1].metrics
    sizes = trained.run("sizes", ranks)[-1].metrics
    tested = numbers_in(read_split(trained.prepared.files["small"]), ["test"])
    truth = read(trained.prepared.files["small"], "digit")[tested]
    scores = direct(trained)[tested]
    probabilities = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    one_hot = np.eye(3)[truth]
    true_sizes, made = read(trained.prepared.files["small"], "size")[tested], direct(trained, "size")[tested][:, 0]

    assert found.keys() == {"accuracy", "auc", "mrr", "ndcg"}
    assert found["accuracy"] == sklearn_metrics.accuracy_score(truth, scores.argmax(axis=1))
    assert found["mrr"] == pytest.approx(sklearn_metrics.label_ranking_average_precision_score(one_hot, scores))
    assert found["ndcg"] == pytest.approx(sklearn_metrics.ndcg_score(one_hot, scores))
    ovr = [sklearn_metrics.roc_auc_score(truth == number, scores[:, number]) for number in range(3)]
    assert found["auc"] == pytest.approx(np.mean(ovr)) or found["auc"] == pytest.approx(
        sklearn_metrics.roc_auc_score(truth, probabilities, multi_class="ovr")
    )
    assert sizes["mse"] == pytest.approx(sklearn_metrics.mean_squared_error(true_sizes, made), rel=1e-5)
    assert sizes["r2"] == pytest.approx(sklearn_metrics.r2_score(true_sizes, made), rel=1e-5)


def test_another_split_can_be_evaluated(trained):
    """The metrics and the split that were asked for."""
    trained.layers = 1
    trained_on = numbers_in(read_split(trained.prepared.files["small"]), ["train"])
    truth = read(trained.prepared.files["small"], "digit")[trained_on]

    assert trained.run("trained_on", 2)[0].metrics == {
        "accuracy": np.mean(direct(trained)[trained_on].argmax(axis=1) == truth)
    }


@pytest.mark.parametrize("widths", [[1, 3, 2], [3, 1, 1, 2]], ids=str)
def test_ranks_may_change_between_layers(trained, widths):
    """A layer leaves its rows in a file, so that the next may run elsewhere."""
    trained.run_by_layers("code", widths)

    np.testing.assert_allclose(
        read(trained.artifact("code"), "values"), direct(trained, part="body"), rtol=1e-5, atol=1e-6
    )


def test_progress_reaches_its_end(trained):
    """The first rank tells how much of the layer is done, up to all of it."""
    reports = []
    trained.layers = 1
    trained.run("code", 2, report=reports.append)

    assert [report.fraction for report in reports] == sorted(report.fraction for report in reports)
    assert reports[-1].fraction == 1.0
    assert {(report.task, report.layer, report.loss) for report in reports} == {("code", 0, None)}


def test_missing_parameters_fail_all_ranks(bench, task):
    """A producer's file that is not there is named."""
    with pytest.raises(RankFailedError, match="digit.h5 cannot be read"):
        bench(tasks_of(task)).run("code", 2)

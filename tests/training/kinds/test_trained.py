"""The kinds give the keys of their tasks by methods, so that a kind with keys of other names is asked as well."""

import outside_kind
import pytest

from hpcmtl.errors import InputError
from hpcmtl.jobfile.kinds import kind_of
from hpcmtl.jobfile.load import parse_job

BASE = {
    "kind": "train",
    "input": "data/x",
    "target": "data/y",
    "loss": "l2",
    "model": {"name": "mlp", "widths": [4], "outputs": 1},
    "epochs": 1,
    "metrics": ["mse"],
}
TASKS = {
    "first": {**BASE, "sample_weights": "data/w"},
    "second": {**BASE, "engine": "mpi", "needs": {"first": "parameters"}, "initialise": {"first": "body.*"}},
    "third": {**BASE, "needs": {"first": "parameters"}},
    "judge": {"kind": "evaluate", "needs": {"first": "parameters"}, "metrics": ["r2"]},
}


@pytest.fixture(scope="module")
def job():
    """A job with the kinds train and evaluate."""
    return parse_job({"hpcmtl": 1, "job": "kinds", "data": {"data": "data.h5"}, "tasks": TASKS})


def test_the_engine_is_given(job):
    """A task that is trained has the engine of its key or of its framework; one that is not trained has none."""
    assert kind_of(job, "second").engine(job, "second") == "mpi"
    assert kind_of(job, "first").engine(job, "first") == "horovod"
    assert kind_of(job, "judge").engine(job, "judge") is None


def test_the_key_of_a_mapping_is_given(job):
    """Parameters are named by `initialise` where the producer stands there, and by `needs` elsewhere."""
    assert kind_of(job, "second").mapping_key(job, "second", "first") == ("initialise", "first")
    assert kind_of(job, "third").mapping_key(job, "third", "first") == ("needs", "first")
    assert kind_of(job, "judge").mapping_key(job, "judge", "first") == ("needs", "first")


def test_sample_weights_and_metrics_are_given(job):
    """A trained task has sample weights, and an evaluation has metrics in place of those of its objectives."""
    assert kind_of(job, "first").sample_weights(job, "first") == "data/w"
    assert kind_of(job, "judge").sample_weights(job, "judge") is None
    assert kind_of(job, "first").metrics(job, "first") == ()
    assert kind_of(job, "judge").metrics(job, "judge") == ("r2",)


def test_a_kind_from_outside_has_none_of_these(job):
    """A kind that overrides none of the methods has no engine, no weights and no metrics."""
    kind = outside_kind.KIND

    assert (kind.engine(job, "a"), kind.sample_weights(job, "a"), kind.metrics(job, "a")) == (None, None, ())
    assert kind.mapping_key(job, "a", "b") == ("needs", "b")


def test_a_head_takes_the_labels_of_its_target():
    """Missing labels and weights by class come along with a target from a task, and label smoothing with a loss."""
    trunk = {**BASE, "model": {"name": "mlp", "outputs": 4}}
    digit = {**BASE, "needs": {"trunk": "data"}, "target": "data/y", "mask": "data/m", "class_weights": "balanced"}
    digit |= {"loss": "sigmoid_bce", "metrics": [], "label_smoothing": 0.1}
    heads = {
        "same": {"from": "digit"},
        "other": {"from": "digit", "target": "data/z", "label_smoothing": 0},
        "declared": {"from": "digit", "missing": float("nan"), "class_weights": [1, 2], "loss": "softmax_ce"},
    }
    joint = {"kind": "joint", "needs": {"trunk": "parameters", "digit": "parameters"}, "input": "data/x", "epochs": 1}
    tasks = {"trunk": trunk, "digit": digit, "joint": {**joint, "trunk": {"from": "trunk"}, "heads": heads}}
    tasks["judge"] = {"kind": "evaluate", "needs": {"joint": "parameters"}, "metrics": ["accuracy"]}
    job = parse_job({"hpcmtl": 1, "job": "kinds", "data": {"data": "data.h5"}, "tasks": tasks})
    found = kind_of(job, "joint").objectives(job, "joint")
    read = [(path, reference) for path, reference in kind_of(job, "judge").references(job, "judge")]

    assert [(each.target, each.missing, each.mask, each.class_weights) for each in found] == [
        ("data/y", None, "data/m", "balanced"),
        ("data/z", None, None, None),
        ("data/y", "nan", None, (1.0, 2.0)),
    ]
    assert [each.label_smoothing for each in found] == [0.1, 0.0, 0.0]
    assert (("needs",), "data/m") in read


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"missing": "none"}, "missing"),
        ({"missing": float("inf")}, "missing"),
        ({"missing": True}, "missing"),
        ({"class_weights": [1.0, -1.0]}, "class_weights"),
        ({"class_weights": [1.0]}, "class_weights"),
        ({"class_weights": "even"}, "class_weights"),
        ({"label_smoothing": 1.0}, "label_smoothing"),
        ({"label_smoothing": -0.1}, "label_smoothing"),
    ],
)
def test_wrong_declarations_are_refused(keys, said):
    """Words other than nan, infinity, truth values, negative weights, and the weight of a single class."""
    with pytest.raises(InputError, match=f"tasks.one.{said}"):
        parse_job({"hpcmtl": 1, "job": "kinds", "data": {"data": "data.h5"}, "tasks": {"one": {**BASE, **keys}}})

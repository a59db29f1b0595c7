"""The kinds give the keys of their tasks by methods, so that a kind with keys of other names is asked as well."""

import outside_kind
import pytest

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

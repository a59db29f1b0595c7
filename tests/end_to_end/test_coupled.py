"""Tasks that exchange parameters while they run: side by side on two ranks, one after the other on one."""

import math

import numpy as np
import pytest
from jobs import family

from hpcmtl.exchange.store import read_sealed

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

HALF, STEPS = 898, 30
CODER = {"name": "conv_autoencoder", "channels": [4], "code": 16}


def images(start, stop):
    """A task that gives some of the images."""
    arguments = {"start": start, "stop": stop}
    return {"kind": "python", "callable": "user_code:part", "arguments": arguments, "outputs": ["images", "digit"]}


def descent(source, batch, **changes):
    """Plain gradient descent on all images of a source, a step an epoch, from the parameters of `first`."""
    return {
        "kind": "train",
        "needs": {source: "data", "first": "parameters"},
        "ranks": 1,
        "model": {"name": "mlp", "widths": [16], "outputs": 10},
        "input": f"{source}/images",
        "target": f"{source}/digit",
        "loss": "softmax_ce",
        "epochs": STEPS,
        "batch_size": batch,
        "optimizer": {"name": "sgd", "learning_rate": 0.2},
        "layers": 3,
        **changes,
    }


def coder(**changes):
    """A task that learns to give back its images."""
    return {
        "kind": "train",
        "needs": ["left", "right", "first", "a", "b"],
        "ranks": 1,
        "model": CODER,
        "input": "digits/images",
        "target": "digits/images",
        "loss": "l2",
        "epochs": 3,
        **changes,
    }


def on_top(edge, **changes):
    """A head that is trained on a frozen trunk."""
    return {
        "kind": "joint",
        "needs": {"trunk": edge, "digit": "parameters"},
        "ranks": 1,
        "input": "digits/images",
        "trunk": {"from": "trunk", "part": "encoder"},
        "heads": {"digit": {"from": "digit"}},
        "freeze": ["trunk.*"],
        "epochs": 3,
        **changes,
    }


def edge(staleness):
    """An async edge."""
    return {"kind": "parameters", "mode": "async", "every": 5, "staleness": staleness}


OWN_HEAD = {"digit": {"model": {"name": "mlp", "outputs": 10}, "target": "digits/digit", "loss": "softmax_ce"}}
LAST = ["beside", "after", "nothing_stale", "whole"]
TASKS = {
    "left": images(0, HALF),
    "right": images(HALF, 2 * HALF),
    "all": {**images(0, 2 * HALF), "needs": ["a", "b"]},
    "first": {**descent("left", HALF, epochs=1, layers=1), "needs": {"left": "data"}},
    # Two tasks that merge after each step, and one task on what both have.
    "a": descent("left", HALF, needs={"left": "data", "right": "order", "first": "parameters"}),
    "b": descent("right", HALF),
    "whole": descent("all", 2 * HALF),
    # A trunk, and heads on it: after it, by an edge that allows nothing stale, and beside it.
    "trunk": coder(epochs=18),
    "features": {"kind": "extract", "needs": {"trunk": "parameters"}, "output": "encoder"},
    "digit": {
        "kind": "train",
        "needs": {"features": "data"},
        "model": {"name": "mlp", "outputs": 10},
        "input": "features/values",
        "target": "digits/digit",
        "loss": "softmax_ce",
        "epochs": 1,
    },
    "after": on_top("parameters"),
    "nothing_stale": on_top(edge(0)),
    "beside": on_top(edge(1), needs={"trunk": edge(1)}, heads=OWN_HEAD, epochs=18),
    # More members than ranks, which begin and end at different times; one fails on the way.
    **{f"m{n}": coder(epochs=n, needs=LAST) for n in (1, 2, 3)},
    "broken": coder(needs=LAST, optimizer={"name": "sgd", "learning_rate": 1e30}),
}
MERGE = {
    "halves": {"tasks": ["a", "b"], "every": 1},
    "coders": {"tasks": ["m1", "m2", "m3", "broken"], "parameters": "encoder.*", "every": 4, "how": "statistics"},
}


def parameters(run, task):
    """Returns the arrays that a task published."""
    return read_sealed(run.directory / "artifacts" / f"{task}.h5")[0]


def events_of(run, event, task):
    """The place of each such event in the ledger, with what it says."""
    return [(n, e) for n, e in enumerate(run.events) if (e["event"], e.get("task")) == (event, task)]


def total(run, task, key):
    """Sum over the layers of a task."""
    ended = [event for kind in ("layer_ended", "layer_stopped") for _, event in events_of(run, kind, task)]
    return sum({**event, **event["facts"]}[key] for event in ended)


@pytest.fixture(scope="module", params=[1, 2])
def run(start_once, request):
    """The job on one rank or two; were one thought slow for a moment's load, all would rightly go to the other."""
    job = family(ranks=request.param, merge=MERGE, tasks=TASKS)
    return start_once(job, env={"HPCMTL_RANK_SPEED": "0:1"}).finish(timeout=150)


def test_everything_ends(run):
    """No wait is for ever, on too few ranks neither; the member that fails is the only one that does."""
    statuses = {name: task["status"] for name, task in run.results["tasks"].items()}

    assert run.returncode == 1, run.said
    assert statuses == {**dict.fromkeys(TASKS, "complete"), "broken": "failed"}, run.said
    assert run.leftovers() == []


def test_merging_after_each_step_is_one_allreduce(run):
    """Halves of a batch on two groups, averaged after each plain step, come to the weights of the whole batch."""
    if run.results["ranks"] == 1:
        pytest.skip("they do not run at the same time")
    a, b, whole = (parameters(run, name) for name in ("a", "b", "whole"))

    assert total(run, "a", "merges") == total(run, "b", "merges") == STEPS
    for name, array in whole.items():
        assert np.array_equal(a[name], b[name])
        assert np.abs(a[name] - array).max() <= STEPS * 2**-22 * np.abs(array).max(), name


def test_nothing_stale_equals_sync(run):
    """A staleness of 0 gives the bits of a sync edge."""
    sync, zero = parameters(run, "after"), parameters(run, "nothing_stale")

    assert sync.keys() == zero.keys()
    assert all(np.array_equal(sync[name], zero[name]) for name in sync)


def test_the_consumer_trains_beside_its_producer(run):
    """With a rank for each it begins when the producer runs and takes newer versions; on one rank it comes after."""
    ((producer_end, _),) = events_of(run, "task_ended", "trunk")
    begin = events_of(run, "layer_started", "beside")[0][0]
    trunk, taken = parameters(run, "trunk"), parameters(run, "beside")
    same = all(
        np.array_equal(taken[name.replace("encoder.", "trunk.")], trunk[name]) for name in trunk if "encoder" in name
    )

    assert (begin < producer_end) == (run.results["ranks"] > 1)
    if run.results["ranks"] == 1:
        assert same, "it has not taken the last version"
    else:
        assert total(run, "trunk", "versions_published") > 1
        assert total(run, "beside", "versions_taken") > 1


def test_members_come_and_go(run):
    """Those that run together merge, those that are alone go on, and what failed has spoilt nobody."""
    merges = {name: total(run, name, "merges") for name in ("m1", "m2", "m3")}

    assert (sum(merges.values()) > 0) == (run.results["ranks"] > 1)
    for name in merges:
        assert all(np.isfinite(array).all() for array in parameters(run, name).values())
        assert math.isfinite(run.results["tasks"][name]["metrics"]["loss"])

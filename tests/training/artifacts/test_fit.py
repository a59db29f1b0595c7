"""Arrays that other tasks made are checked as data files are, before the first step, from memory and from files."""

from __future__ import annotations

import pytest
from transfers import run_both

from hpcmtl.communicators.inproc import RankFailedError
from hpcmtl.errors import InputError
from hpcmtl.training.gluon.collectives.kvstore import KVStoreCollective

MLP = {"name": "mlp", "outputs": 3}
RNN = {"name": "embedding_rnn", "vocabulary": 5, "embedding": 2, "hidden": 3, "outputs": 3}


def own(*names):
    """A python task that publishes arrays."""
    return {"kind": "python", "callable": "own_tasks:made", "arguments": {"names": names}, "outputs": list(names)}


@pytest.mark.parametrize("limit", [0, 1 << 20])
@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"target": "own/more"}, r"tasks.net.target: own/more: sample 3 has label 3, .* each of 3 classes"),
        ({"target": "own/classes", "model": {**MLP, "outputs": 2}}, "own/classes: sample 2 has label 2"),
        ({"target": "small/digit", "model": {**MLP, "outputs": 2}}, "has 3 classes but the network makes 2 outputs"),
        ({"model": {"name": "own_blocks:TwoParts", "outputs": 2}}, "sample 2 has label 2"),
        ({"target": "own/features", "model": MLP}, "softmax_ce needs one whole number a sample"),
        ({"input": "own/gaps"}, "tasks.net.input: own/gaps: sample 7 holds NaN or Inf"),
        ({"target": "own/times", "loss": "l2", "model": {**MLP, "outputs": 1}, "metrics": []}, "merge in float32"),
        ({"input": "own/words"}, "own/words: has values of type text; a network takes numbers"),
        ({"input": "own/tokens", "model": RNN}, ""),
        (
            {"input": "own/tokens", "model": {**RNN, "vocabulary": 4}},
            "own/tokens: sample 1 holds 4, but the network takes",
        ),
        (
            {"input": "own/features", "model": RNN},
            "own/features: has values of type float64; the network takes integers",
        ),
        ({"sample_weights": "own/times"}, ""),
        ({}, ""),
        ({"target": "own/flags", "loss": "softmax_ce"}, ""),
    ],
)
def test_training_on_what_a_python_task_made(bench, task, limit, keys, said):
    """Labels beyond the outputs, NaN, text and numbers that float32 merges; what is sound is trained on."""
    names = ("features", "gaps", "times", "classes", "more", "words", "flags", "tokens")
    values = {"input": "own/features", "target": "own/classes", "model": MLP, "epochs": 1, **keys}
    made = bench({"own": own(*names), "net": task(**values, needs={"own": "data"})})
    if said:
        with pytest.raises(RankFailedError, match=said) as error:
            run_both(made, ["own", "net"], limit)
        assert isinstance(error.value.__cause__, InputError)
    else:
        assert "loss" in run_both(made, ["own", "net"], limit)["net"]


def test_a_refused_task_leaves_its_collective(bench, task, monkeypatch):
    """A task that is refused after its strategy was opened closes it on each rank, so that Horovod is free again."""
    closed = []
    monkeypatch.setattr(KVStoreCollective, "close", lambda collective: closed.append(collective.size))
    net = task(input="own/gaps", target="own/classes", model=MLP, epochs=1, needs={"own": "data"})
    made = bench({"own": own("gaps", "classes"), "net": net})
    made.run("own")
    with pytest.raises(RankFailedError, match="sample 7 holds NaN"):
        made.run("net", 2)

    assert closed == [2, 2]


@pytest.mark.parametrize("limit", [0, 1 << 20])
def test_applying_a_network_to_what_a_python_task_made(bench, task, limit):
    """A NaN in the rows of one rank is refused on both, and is not called damage; the range is that of all rows."""
    net = task(input="own/features", target="own/classes", model=MLP, epochs=1, needs={"own": "data"})
    tasks = {
        "own": own("features", "classes", "gaps", "sorted"),
        "net": {**net, "input": "own/features", "model": {"name": "own_blocks:TwoParts"}},
        "bad": {"kind": "predict", "needs": {"net": "parameters", "own": "data"}, "input": "own/gaps"},
    }
    tasks["good"] = {**tasks["bad"], "input": "own/sorted"}  # close together on the second rank alone
    made = bench(tasks)

    run_both(made, ["own", "net", "good"], limit)
    with pytest.raises(RankFailedError, match="tasks.bad: own/gaps: sample 7 holds NaN"):
        run_both(made, ["own", "net", "bad"], limit)

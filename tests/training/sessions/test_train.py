"""A task in layers, on changing ranks, from checkpoints, is the task on one rank in one piece."""

from __future__ import annotations

import logging

import h5py
import numpy as np
import pytest

from hpcmtl.communicators.inproc import RankFailedError
from hpcmtl.data.hdf5 import numbers_in, read_split
from hpcmtl.data.reader import open_array
from hpcmtl.errors import InputError, TaskFailedError
from hpcmtl.exchange.store import read_sealed
from hpcmtl.results.events import LearningRateChanged
from hpcmtl.training.evaluation.metrics import compute
from hpcmtl.training.orders import LayerOrders, Rate

pytestmark = pytest.mark.slow

ADAM = {"name": "adam"}
MOMENTUM = {"name": "sgd", "options": {"momentum": 0.9}}
BATCH_NORMALISED = {"name": "own_blocks:normalised"}


def same_bits(one, other):
    """Returns true if two artifacts hold the same."""
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def difference(one, other):
    """The largest difference between two artifacts."""
    assert one.keys() == other.keys()
    return max(float(np.abs(one[name] - other[name]).max()) for name in one)


def damage(path):
    """Turn over one bit of a weight."""
    with h5py.File(path, "r+") as file:
        weight = file["parameters/output.weight"]
        offset = weight.id.get_offset()
    content = bytearray(path.read_bytes())
    content[offset + 1] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize(
    ("ranks", "optimizer"),
    [(1, ADAM), (2, MOMENTUM), *(pytest.param(*case, marks=pytest.mark.slow) for case in [(1, MOMENTUM), (3, ADAM)])],
    ids=str,
)
def test_layers_from_checkpoints_equal_one_piece(bench, task, optimizer, ranks):
    """Four layers, each in a session of its own that loads the checkpoint before it: the same bits as one layer."""
    tasks = {"digit": task(optimizer={"learning_rate": 0.01, **optimizer})}
    whole, pieces = bench(tasks), bench(tasks)
    whole.run("digit", ranks)
    outcomes = pieces.run_by_layers("digit", [ranks] * 4)

    assert same_bits(pieces.parameters("digit"), whole.parameters("digit"))
    assert [outcome.steps for outcome in outcomes] == [5, 5, 5, 5]


def test_layers_in_one_session_equal_one_piece(bench, task):
    """A session that goes on without its checkpoints comes to the same bits."""
    tasks = {"digit": task()}
    whole, pieces = bench(tasks), bench(tasks, layers=7)
    whole.run("digit", 2)
    pieces.run("digit", 2)

    assert same_bits(pieces.parameters("digit"), whole.parameters("digit"))


@pytest.mark.parametrize("network", [{}, {"model": BATCH_NORMALISED}], ids=["mlp", "batch normalised"])
def test_the_state_goes_from_rank_to_rank(bench, task, network):
    """A task that moves to ranks of which one was there before needs no checkpoint, and comes to the same bits."""
    tasks = {"digit": task(optimizer=ADAM | {"learning_rate": 0.01}, **network)}
    moving, fixed = bench(tasks), bench(tasks)
    moving.run_on_groups("digit", [[0, 1], [1, 2], [3, 0, 2], [1, 3], [3]])
    fixed.run_by_layers("digit", [2, 2, 3, 2, 1])

    assert same_bits(moving.parameters("digit"), fixed.parameters("digit"))


def test_the_loss_scale_goes_with_the_task(bench, task, monkeypatch):
    """A task that moves, also to a group of the same ranks, goes on with the loss scale that it had."""
    monkeypatch.setattr("hpcmtl.training.strategies.loss_scale.GROWTH_INTERVAL", 3)
    moving = bench({"digit": task(compression="fp16")})
    outcomes = moving.run_on_groups("digit", [[0, 1], [0, 1], [1, 2], [1, 2]])
    scales = [moving.states[rank]["digit"].state["loss_scale"].tolist() for rank in (1, 2)]

    assert [outcome.compression for outcome in outcomes[1] if outcome] == ["fp16"] * 4
    assert scales == [[1024.0 * 2**6, 2]] * 2  # doubled after each three of twenty steps


@pytest.mark.parametrize("widths", [[1, 2], [3, 1, 2], pytest.param([2, 3, 1, 3, 1], marks=pytest.mark.slow)], ids=str)
def test_ranks_may_change_between_layers(bench, task, widths):
    """Layers on other numbers of ranks come to the weights of one rank, within the rounding of float32 sums."""
    tasks = {"digit": task(sample_weights="small/weight")}
    one, many = bench(tasks), bench(tasks)
    one.run("digit")
    outcomes = many.run_by_layers("digit", widths)

    assert difference(many.parameters("digit"), one.parameters("digit")) < 1e-5
    assert sum(outcome.steps for outcome in outcomes) == 20
    assert [outcome.engine for outcome in outcomes] == ["local" if width == 1 else "kvstore" for width in widths]


@pytest.mark.slow
def test_it_learns_and_says_so(bench, task):
    """Loss and accuracy on the validation samples are among the metrics, equal on any number of ranks."""
    tasks = {"digit": task(epochs=12)}
    found = []
    for ranks in (1, 3):
        done = bench(tasks, layers=2)
        found.append(done.run("digit", ranks)[-1].metrics)

    assert found[0].keys() == {"loss", "val_accuracy"}
    assert found[0]["val_accuracy"] > 0.8
    assert found[1]["val_accuracy"] == found[0]["val_accuracy"]
    assert found[1]["loss"] == pytest.approx(found[0]["loss"], rel=1e-3)


@pytest.mark.slow
def test_the_first_weights_do_not_depend_on_ranks(bench, task):
    """A learning rate too small to change anything shows that all groups begin alike."""
    starts = []
    for ranks in (1, 2, 3):
        done = bench({"digit": task(epochs=1, optimizer={"name": "sgd", "learning_rate": 1e-30})})
        done.run("digit", ranks)
        starts.append(done.parameters("digit"))

    for name, array in starts[0].items():
        if name.endswith("weight"):  # biases begin with 0, which even this rate changes
            assert np.array_equal(array, starts[1][name])
            assert np.array_equal(array, starts[2][name])


@pytest.mark.parametrize("ranks", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_a_damaged_checkpoint_is_passed_over(bench, task, caplog, ranks):
    """A layer that was stopped, and whose state is damaged, goes on from the layer before, with a warning."""
    tasks = {"digit": task()}
    whole, pieces = bench(tasks, layers=2), bench(tasks, layers=2)
    whole.run("digit", ranks)
    pieces.run("digit", ranks, [0])
    stopped = pieces.run("digit", ranks, [1], stop_requested=lambda: True)[0]
    damage(pieces.checkpoints("digit")[-1])
    with caplog.at_level(logging.WARNING):
        outcome = pieces.run("digit", ranks, [1])[0]

    assert stopped.stopped
    assert 0 < stopped.steps < 10
    assert outcome.steps == 10
    assert "a checkpoint is passed over" in caplog.text
    assert same_bits(pieces.parameters("digit"), whole.parameters("digit"))


def test_another_rate_on_any_number_of_ranks(bench, task):
    """A rate that is ordered takes effect at the same step on any ranks, and later sessions keep to it."""
    found, told = [], []
    for ranks, layers in ((1, [[0, 1]]), (2, [[0, 1]]), (2, [[0], [1]])):
        done = bench({"digit": task()}, layers=2)
        orders = LayerOrders(0, record=told.append)
        orders.order(Rate(1, 0.1))  # heard of after the layer has begun: taken when the group meets first
        done.run("digit", ranks, layers[0], orders=lambda orders=orders: orders)
        for more in layers[1:]:
            done.run("digit", ranks, more)
        found.append(done.parameters("digit"))
    plain = bench({"digit": task()})
    plain.run("digit", 2)

    assert told == [LearningRateChanged(task="digit", layer=0, step=1, learning_rate=0.1)] * 3
    assert same_bits(found[1], found[2])
    for name, array in found[0].items():
        assert np.allclose(array, found[1][name], rtol=1e-4, atol=1e-5)
        assert not np.allclose(array, plain.parameters("digit")[name], rtol=1e-2, atol=1e-3)


def test_without_a_checkpoint_that_can_be_read_the_task_begins_anew(bench, task, caplog):
    """Damaged states cost the steps since the one before, or all of them, and nothing else."""
    tasks = {"digit": task()}
    whole, pieces = bench(tasks, layers=4), bench(tasks, layers=4)
    whole.run("digit", 2)
    pieces.run("digit", 2, [0, 1])
    for path in pieces.checkpoints("digit"):
        damage(path)
    with caplog.at_level(logging.WARNING):
        third = pieces.run("digit", 2, [2])[0]
    damage(pieces.checkpoints("digit")[-1])
    last = pieces.run("digit", 1, [3])[0]

    assert (third.steps, third.reached) == (15, 15)
    assert (last.steps, last.reached) == (20, 20)
    assert "step-0000000010.h5" in caplog.text
    assert len(list(pieces.checkpoints("digit")[0].parent.glob("*.damaged"))) == 3
    for name, array in pieces.parameters("digit").items():
        assert np.allclose(array, whole.parameters("digit")[name], rtol=1e-4, atol=1e-5)


def test_a_stopped_layer_goes_on_where_it_was(bench, task):
    """A stop in the middle of a layer costs nothing: resumed, even on other ranks, the weights are the same."""
    tasks = {"digit": task()}
    whole, pieces = bench(tasks), bench(tasks)
    whole.run("digit", 2)
    first = pieces.run("digit", 2, stop_requested=lambda: True)[0]
    second = pieces.run("digit", 2)[0]
    third = pieces.run("digit", 2)[0]

    assert (first.stopped, second.stopped, third.stopped) == (True, False, False)
    assert first.steps + second.steps == 20
    assert third.steps == 0
    assert same_bits(pieces.parameters("digit"), whole.parameters("digit"))


def test_a_nan_names_task_layer_and_step(bench, task):
    """A rate that blows up the weights fails the task on all ranks, and nothing is published."""
    exploding = bench(
        {
            "digit": task(
                optimizer={"name": "sgd", "learning_rate": 1e30},
                loss="l2",
                target="small/size",
                metrics=[],
                model={"name": "mlp", "outputs": 1},
            )
        },
        layers=2,
    )
    with pytest.raises(
        RankFailedError, match=r"task digit, layer 0, step \d+ \(epoch \d\): the loss is not finite"
    ) as error:
        exploding.run("digit", 2)

    assert isinstance(error.value.__cause__, TaskFailedError)
    assert not exploding.artifact("digit").exists()


@pytest.mark.parametrize("ranks", [2, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 3))])
def test_batch_normalisation(bench, task, ranks):
    """A net with running statistics trains, is evaluated and goes on from its checkpoint on any number of ranks."""
    tasks = {
        "digit": task(model=BATCH_NORMALISED, epochs=12, optimizer={"name": "adam", "learning_rate": 0.02}),
        "report": {"kind": "evaluate", "needs": {"digit": "parameters"}},
        "labels": {"kind": "predict", "needs": {"digit": "parameters"}},
    }
    done = bench(tasks)
    done.run_by_layers("digit", [ranks, ranks, ranks])
    done.layers = 1
    metrics = done.run("report", ranks)[0].metrics
    done.run("labels", 1)
    with (
        open_array(done.artifact("labels"), "main") as scores,
        open_array(done.prepared.files["small"], "digit") as truth,
    ):
        tested = numbers_in(read_split(done.prepared.files["small"]), ["test"])
        expected = compute("accuracy", scores.read(0, 61)[tested], truth.read(0, 61)[tested])
    statistics = {name: array for name, array in done.parameters("digit").items() if "running" in name}

    assert len(statistics) == 2
    assert np.ptp(statistics["parameters/1.running_mean"]) > 0
    assert metrics["accuracy"] == expected > 0.6


def test_freeze_and_take_over(bench, task):
    """A task that begins with another's body and freezes it trains its output alone."""
    tasks = {
        "digit": task(),
        "odd": task(
            target="small/odd",
            model={"name": "convnet", "channels": [4], "widths": [8], "outputs": 2},
            needs={"digit": "parameters"},
            initialise={"digit": "body.*"},
            freeze=["body.*"],
        ),
    }
    done = bench(tasks)
    done.run("digit", 2)
    done.run("odd", 2)
    digit, odd = done.parameters("digit"), done.parameters("odd")

    assert all(np.array_equal(odd[name], digit[name]) for name in digit if name.startswith("parameters/body."))
    assert odd["parameters/output.weight"].shape == (2, 8)


def test_what_cannot_be_taken_over_is_refused(bench, task):
    """Parameters of another shape end the task with both shapes named."""
    tasks = {
        "digit": task(),
        "odd": task(model={"name": "convnet", "channels": [5], "outputs": 3}, needs={"digit": "parameters"}),
    }
    done = bench(tasks)
    done.run("digit")
    with pytest.raises(RankFailedError, match="has shape") as error:
        done.run("odd", 2)

    assert isinstance(error.value.__cause__, InputError)


@pytest.mark.slow
def test_a_joint_task(bench, task):
    """Trunk and heads begin with what was trained before, and each head has its own metrics."""
    head = {"kind": "train", "input": "code/values", "needs": {"code": "data"}, "loss": "softmax_ce", "epochs": 3}
    tasks = {
        "trunk": task(
            model={"name": "conv_autoencoder", "channels": [4], "code": 8}, target="small/images", loss="l2", metrics=[]
        ),
        "code": {"kind": "extract", "needs": {"trunk": "parameters"}, "output": "encoder"},
        "digit": {**head, "target": "small/digit", "model": {"name": "mlp", "outputs": 3}, "metrics": ["accuracy"]},
        "joint": {
            "kind": "joint",
            "needs": {"trunk": "parameters", "digit": "parameters"},
            "input": "small/images",
            "trunk": {"from": "trunk", "part": "encoder"},
            "heads": {
                "digit": {"from": "digit"},
                "odd": {
                    "model": {"name": "mlp", "outputs": 2},
                    "target": "small/odd",
                    "loss": "softmax_ce",
                    "metrics": ["accuracy"],
                    "weight": 0.5,
                },
            },
            "epochs": 12,
        },
        "report": {"kind": "evaluate", "needs": {"joint": "parameters"}, "metrics": ["accuracy", "auc"]},
    }
    done = bench(tasks)
    for name in ("trunk", "code", "digit"):
        done.run(name, 2)
    metrics = done.run("joint", 2)[0].metrics
    report = done.run("report", 3)[0].metrics

    assert metrics.keys() == {"digit.loss", "odd.loss", "digit.val_accuracy", "odd.val_accuracy"}
    assert report.keys() == {"digit.accuracy", "digit.auc", "odd.accuracy", "odd.auc"}
    assert report["digit.accuracy"] > 0.6


def test_the_checkpoint_says_where_it_is(bench, task):
    """Step, seed and metrics are kept beside parameters, moments, counters and loss scale."""
    done = bench({"digit": task()}, layers=2)
    done.run("digit", 2)
    state, facts = read_sealed(done.checkpoints("digit")[0])

    assert (facts["task"], facts["step"], facts["seed"]) == ("digit", 10, 5)
    assert "val_accuracy" in facts["metrics"]
    assert {name.split("/")[0] for name in state} == {"parameters", "optimizer", "loss_scale"}


def test_the_first_layer_has_checkpoints_inside(bench, task, monkeypatch):
    """Not only once a first checkpoint was measured, at the end of a layer, but from the first steps of a task on."""
    monkeypatch.setattr("hpcmtl.training.agreement.SECONDS_BETWEEN_AGREEMENTS", 0)
    noted = []
    done = bench({"digit": task()}, checkpoints={"interval": 1e-6})
    done.run("digit", 2, record=noted.append)
    steps = [event.step for event in noted if event.name == "checkpoint_written"]

    assert steps[-1] == 20
    assert steps[0] < 10, steps


@pytest.mark.parametrize(("ranks", "batch_size", "rows"), [(1, 9, 9), (2, 9, 5), (3, 9, 3), (2, 1000, 20)])
def test_the_fullest_rank_is_measured(bench, task, ranks, batch_size, rows):
    """The rows of a layer, by which step times are predicted, are those of the rank with most rows of a batch."""
    done = bench({"digit": task(epochs=1, batch_size=batch_size, metrics=[])})

    assert done.run("digit", ranks)[0].rows == rows

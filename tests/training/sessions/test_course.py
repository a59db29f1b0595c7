"""Early stopping, the best state, schedules of freezing, and L2-SP, against plain loops on all samples at once."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
import torch

from hpcmtl.exchange.store import PARAMETERS
from hpcmtl.results.events import TrainingStopped

pytestmark = pytest.mark.slow

MODEL = {"name": "mlp", "widths": [7], "outputs": 3, "activation": "tanh"}
STILL = {"name": "sgd", "learning_rate": 1e-30}  # parameters stay as they were made
MOMENTUM = {"name": "sgd", "learning_rate": 0.08, "options": {"momentum": 0.9}}
ADAM = {"name": "adam", "learning_rate": 0.05}
WHOLE = {"batch_size": 40}  # a step is an epoch
FRAMEWORKS = pytest.mark.parametrize("framework", ["gluon", "torch"])
HEADS = {"digit": 3, "odd": 2}


def source(task, **keys):
    """The task whose parameters, its first ones, others begin with."""
    return task(model=MODEL, epochs=1, optimizer=STILL, metrics=[], **WHOLE, **keys)


def follower(task, **keys):
    """A task that begins with the parameters of `source`."""
    return task(**{"model": MODEL, "needs": {"first": "parameters"}, "metrics": [], **WHOLE, **keys})


def joint(**keys):
    """A joint task of a linear trunk and two heads."""
    heads = {
        name: {"model": {"name": "mlp", "outputs": size}, "target": f"small/{name}", "loss": "softmax_ce"}
        for name, size in HEADS.items()
    }
    trunk = {"model": {"name": "mlp", "outputs": 6}}
    return {"kind": "joint", "input": "small/images", "trunk": trunk, "heads": heads, **WHOLE, **keys}


def plain_outputs(values, images):
    """Returns the outputs of the networks above by objective, from their parameters by name."""

    def dense(name, x):
        return torch.nn.functional.linear(x, values[f"{name}.weight"], values[f"{name}.bias"])

    flat = images.reshape(len(images), -1)
    if "output.weight" in values:
        return {"main": dense("output", torch.tanh(dense("body.1", flat)))}
    return {name: dense(f"heads.{name}.output", dense("trunk.output", flat)) for name in HEADS}


def plainly(done, first, epochs, make, *, trained=lambda _name, _epoch: True, weigh=lambda _epoch: {}, penalty=()):
    """Trains by torch.optim on all train samples at once; returns the losses of each epoch, and what they leave."""
    with h5py.File(done.prepared.files["small"]) as file:
        arrays = {name: torch.from_numpy(file[name][:40]) for name in ("images", "digit", "odd")}
    values = {name.removeprefix(PARAMETERS): torch.tensor(array) for name, array in first.items()}
    began = {name: each.clone() for name, each in values.items()}
    optimizer, history = make(list(values.values())), []
    for epoch in range(epochs):
        for name, each in values.items():
            each.grad = None
            each.requires_grad_(trained(name, epoch))
        losses = {
            name: torch.nn.functional.cross_entropy(output, arrays["digit" if name == "main" else name].long())
            for name, output in plain_outputs(values, arrays["images"]).items()
        }
        total = sum(weigh(epoch).get(name, 1.0) * loss for name, loss in losses.items())
        for strength, start in penalty:
            near = ((each - began[name]) ** 2 for name, each in values.items() if name.startswith(start))
            total = total + strength / 2 * sum(each.sum() for each in near)
        total.backward()
        optimizer.step()
        kept = {PARAMETERS + name: each.detach().numpy().copy() for name, each in values.items()}
        history.append(({name: float(loss.detach()) for name, loss in losses.items()}, kept))
    return history


def adam(values):
    """Returns the optimizer `ADAM` of PyTorch."""
    return torch.optim.Adam(values, lr=0.05)


def momentum(values):
    """Returns the optimizer `MOMENTUM` of PyTorch."""
    return torch.optim.SGD(values, lr=0.08, momentum=0.9)


def assert_close(made, expected):
    """Parameters are equal up to rounding."""
    assert made.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_allclose(made[name], array, rtol=2e-4, atol=2e-5, err_msg=name)


def stop_of(losses, patience, min_delta, start=0):
    """The epoch after which a training ends, and the best one before it, as Keras counts."""
    best, best_epoch = np.inf, start
    for epoch, loss in enumerate(losses):
        if epoch >= start and loss < best - min_delta:
            best, best_epoch = loss, epoch
        elif epoch >= start and epoch - best_epoch >= patience:
            return epoch, best_epoch
    raise AssertionError("it does not stop")


@FRAMEWORKS
def test_a_training_ends_once_its_loss_does_not_improve(bench, task, framework):
    """Stop epoch, event and parameters are those of a plain loop with patience; on any ranks and through sessions."""
    keys = {"monitor": "loss", "patience": 2, "min_delta": 0.1}
    tasks = {
        "first": source(task, framework=framework),
        "stopped": follower(task, framework=framework, optimizer=MOMENTUM, epochs=20, early_stopping=keys),
    }
    made, told = {}, []
    for name, widths in {"one": [1], "pieces": [1, 2, 2, 1]}.items():
        done = bench(tasks, layers=1)
        done.run("first")
        done.layers, outcomes = len(widths), []
        for layer, ranks in enumerate(widths):
            outcomes += done.run("stopped", ranks, [layer], record=told.append)
            if outcomes[-1].ended_early:
                break
        made[name] = outcomes, done.parameters("stopped")
    history = plainly(done, done.parameters("first"), 20, momentum)
    stop, best = stop_of([losses["main"] for losses, _ in history], 2, 0.1)

    assert 5 < stop < 15, [losses for losses, _ in history]
    for outcomes, parameters in made.values():
        assert [each.ended_early for each in outcomes] == [False] * (len(outcomes) - 1) + [True]
        assert (outcomes[-1].reached, outcomes[-1].stopped) == (stop + 1, False)
        assert_close(parameters, history[stop][1])
    assert 1 < len(made["pieces"][0]) < 4
    events = [each for each in told if isinstance(each, TrainingStopped)]
    assert [(each.epoch, each.best_epoch, each.head, each.step) for each in events] == [(stop, best, "", stop + 1)] * 2


def test_a_task_that_ended_early_is_not_trained_again(bench, task):
    """If its artifact was damaged, its last layer publishes the same parameters again from the checkpoint."""
    keys = {"monitor": "loss", "patience": 1, "min_delta": 10.0}
    done = bench({"digit": task(early_stopping=keys, epochs=9, model=MODEL)}, layers=3)
    (outcome,) = done.run("digit", 2, [0])
    before = done.parameters("digit")
    done.artifact("digit").unlink()
    (again,) = done.run("digit", 1, [2])

    assert (outcome.ended_early, outcome.reached, again.steps, again.ended_early) == (True, 10, 0, True)
    assert all(np.array_equal(before[name], array) for name, array in done.parameters("digit").items())


@FRAMEWORKS
@pytest.mark.parametrize("widths", [[1], [2, 1, 2]], ids=["one piece", "three sessions"])
def test_the_best_state_is_published(bench, task, framework, widths):
    """The parameters are those after the first epoch with the highest accuracy, and the results name it."""
    keys = {"optimizer": MOMENTUM, "epochs": 12, "metrics": ["accuracy"], "framework": framework}
    keep = {"state": "best", "monitor": "val_accuracy"}
    done = bench({"first": source(task, framework=framework), "best": follower(task, keep=keep, **keys)})
    done.run("first")
    outcome = done.run_by_layers("best", widths)[-1]
    history = plainly(done, done.parameters("first"), 12, momentum)
    accuracies = [plain_accuracy(done, kept) for _, kept in history]
    best = int(np.argmax(accuracies))

    assert 0 < best < 11, accuracies
    assert (outcome.metrics["best_epoch"], outcome.metrics["val_accuracy"]) == (best, accuracies[best])
    assert outcome.metrics["loss"] == pytest.approx(history[best][0]["main"], rel=1e-4)
    assert_close(done.parameters("best"), history[best][1])


def plain_accuracy(done, parameters):
    """Returns the share of the validation samples that parameters of `MODEL` classify as they are."""
    with h5py.File(done.prepared.files["small"]) as file:
        images, digits = torch.from_numpy(file["images"][40:48]), file["digit"][40:48]
    values = {name.removeprefix(PARAMETERS): torch.from_numpy(array) for name, array in parameters.items()}
    return float((plain_outputs(values, images)["main"].argmax(axis=1).numpy() == digits).mean())


PULL = {"strength": 0.3, "pattern": "body.*"}
FREEZE = {"body.*": {"until": 3}, "output.bias": {"from": 5}}


def is_trained(name, epoch):
    """Returns whether `FREEZE` lets a parameter be trained."""
    return not ((name.startswith("body") and epoch < 3) or (name == "output.bias" and epoch >= 5))


@FRAMEWORKS
@pytest.mark.parametrize("widths", [[2], [1, 2, 1]], ids=["one piece", "three sessions"])
@pytest.mark.parametrize("own", [ADAM, MOMENTUM], ids=["adam", "momentum"])
def test_parameters_are_frozen_for_some_epochs(bench, task, framework, widths, own):
    """Their moments begin when they are first trained, as in a plain loop; groups of the optimizer may match them."""
    groups = {"body.*": {"learning_rate": 0.05}} if own is ADAM else {}  # of all: old and new moments in one group
    optimizer = {**own, "groups": groups}
    tasks = {
        "first": source(task, framework=framework),
        "late": follower(task, framework=framework, optimizer=optimizer, epochs=8, freeze=FREEZE),
    }
    done = bench(tasks)
    done.run("first")
    if len(widths) == 1:
        done.run("late", widths[0])
    else:
        done.run_by_layers("late", widths)
    history = plainly(done, done.parameters("first"), 8, adam if own is ADAM else momentum, trained=is_trained)

    assert_close(done.parameters("late"), history[-1][1])


@FRAMEWORKS
@pytest.mark.parametrize("groups", [[[0], [1], [0, 1]], [[0, 1], [1], [0, 1], [0, 2], [1, 2]]], ids=str)
def test_ranks_of_other_epochs_join(bench, task, framework, groups):
    """Ranks that left the task while others were frozen go on together, from the newest state, as in a plain loop."""
    tasks = {
        "first": source(task, framework=framework),
        "late": follower(task, framework=framework, optimizer=ADAM, epochs=8, freeze=FREEZE, l2_sp=PULL),
    }
    done = bench(tasks)
    done.run("first")
    done.run_on_groups("late", groups)
    history = plainly(done, done.parameters("first"), 8, adam, trained=is_trained, penalty=[(PULL["strength"], "body")])

    assert_close(done.parameters("late"), history[-1][1])


@FRAMEWORKS
def test_l2_sp_pulls_toward_the_parameters_of_the_source(bench, task, framework):
    """The penalty is that of a plain loop, whose loss has half the squared distance; also through a checkpoint."""
    keys = {"framework": framework, "optimizer": {"name": "sgd", "learning_rate": 0.5}, "epochs": 6}
    tasks = {
        "first": source(task, framework=framework),
        "near": follower(task, l2_sp={"strength": 0.7, "pattern": "body.*"}, **keys),
    }
    done = bench(tasks)
    done.run("first")
    done.run_by_layers("near", [1, 2])
    history = plainly(
        done, done.parameters("first"), 6, lambda values: torch.optim.SGD(values, lr=0.5), penalty=[(0.7, "body")]
    )

    assert_close(done.parameters("near"), history[-1][1])


@FRAMEWORKS
def test_a_head_is_stopped_by_itself(bench, framework):
    """From then on its loss has no weight and its parameters stay, moments or not, as in a plain loop."""
    task = joint(framework=framework, optimizer=ADAM, epochs=14)
    first = joint(framework=framework, optimizer=STILL, epochs=1)
    task["needs"], task["initialise"] = {"first": "parameters"}, {"first": "*"}
    task["heads"]["digit"]["early_stopping"] = {"monitor": "loss", "patience": 2, "min_delta": 0.05}
    done, told = bench({"first": first, "stopped": task}), []
    done.run("first")
    done.layers = 2
    outcomes = [done.run("stopped", ranks, [layer], record=told.append)[0] for layer, ranks in enumerate((2, 1))]
    (event,) = (each for each in told if isinstance(each, TrainingStopped))

    def trained(name, epoch):
        return not name.startswith("heads.digit") or epoch <= event.epoch

    def weigh(epoch):
        return {"digit": float(epoch <= event.epoch)}

    history = plainly(done, done.parameters("first"), 14, adam, trained=trained, weigh=weigh)
    stop, best = stop_of([losses["digit"] for losses, _ in history], 2, 0.05)

    assert (event.head, event.epoch, event.best_epoch) == ("digit", stop, best)
    assert 1 < stop < 12
    assert not outcomes[-1].ended_early
    assert_close(done.parameters("stopped"), history[-1][1])


def test_a_task_ends_with_its_last_head(bench):
    """Once all heads are stopped, no step is left."""
    task = joint(framework="torch", optimizer=ADAM, epochs=14)
    for head in task["heads"].values():
        head["early_stopping"] = {"monitor": "loss", "patience": 1, "min_delta": 5.0, "start_epoch": 2}
    done, told = bench({"heads": task}, layers=2), []
    (outcome,) = done.run("heads", 2, [0], record=told.append)

    assert (outcome.ended_early, outcome.reached) == (True, 4)
    assert {each.head for each in told if isinstance(each, TrainingStopped)} == {"digit", "odd"}


@FRAMEWORKS
def test_a_joint_task_ends_by_the_sum_of_its_losses(bench, framework):
    """`loss` is the sum of the weighted losses; trunk and heads have learning rates of their own, as in torch.optim."""
    rates = {"trunk": 0.02, "heads.digit": 0.3, "heads.odd": 0.1}
    groups = {f"{name}.*": {"learning_rate": rate} for name, rate in rates.items() if rate != 0.1}
    optimizer = {"name": "sgd", "learning_rate": 0.1, "groups": groups}
    stopping = {"monitor": "loss", "patience": 2, "min_delta": 0.15}
    task = joint(framework=framework, optimizer=optimizer, epochs=20, early_stopping=stopping)
    task["needs"], task["initialise"] = {"first": "parameters"}, {"first": "*"}
    task["heads"]["odd"]["weight"] = 0.5
    done = bench({"first": joint(framework=framework, optimizer=STILL, epochs=1), "ends": task})
    done.run("first")
    first = done.parameters("first")
    (outcome,) = done.run("ends", 2)

    def by_groups(values):
        rate = [next(r for n, r in rates.items() if name.startswith(PARAMETERS + n)) for name in first]
        return torch.optim.SGD([{"params": [each], "lr": one} for each, one in zip(values, rate, strict=True)])

    history = plainly(done, first, 20, by_groups, weigh=lambda _epoch: {"odd": 0.5})
    totals = [losses["digit"] + 0.5 * losses["odd"] for losses, _ in history]
    stop, _ = stop_of(totals, 2, 0.15)

    assert 1 < stop < 18, totals
    assert (outcome.ended_early, outcome.reached) == (True, stop + 1)
    assert "loss" not in outcome.metrics
    assert_close(done.parameters("ends"), history[stop][1])


def test_l2_sp_under_a_loss_scale(bench, task):
    """Gradients that travel as fp16 are scaled, and the penalty with them: parameters are those of fp32."""
    keys = {"framework": "torch", "engine": "mpi", "optimizer": {"name": "sgd", "learning_rate": 0.5}, "epochs": 6}
    near = {"l2_sp": {"strength": 0.7, "pattern": "body.*"}, **keys}
    tasks = {
        "first": source(task, framework="torch"),
        "fp32": follower(task, **near),
        "fp16": follower(task, compression="fp16", **near),
    }
    done = bench(tasks)
    for name, ranks in {"first": 1, "fp32": 1, "fp16": 2}.items():
        done.run(name, ranks)
    expected, made = done.parameters("fp32"), done.parameters("fp16")

    assert all(np.allclose(made[name], array, rtol=5e-3, atol=5e-4) for name, array in expected.items())

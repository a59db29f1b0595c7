"""Training on several sources is that of a plain script of the framework, on any number of ranks."""

from __future__ import annotations

import numpy as np
import pytest

from hpcmtl.data.blocks import epoch_order
from hpcmtl.data.hdf5 import write_dataset_file
from hpcmtl.exchange.store import PARAMETERS
from hpcmtl.training.artifacts.load import load

pytestmark = pytest.mark.slow

SIZES, TRAIN, EPOCHS, SEED, RATE = (50, 31), (36, 20), 3, 5, 0.05
MLP = {"name": "mlp", "outputs": 3}
STEPS = 4
"""Steps of an epoch of each mixture below."""
MIXTURES = {
    "fixed": {"how": "fixed", "batch_sizes": {"left": 6, "right": 3}, "steps": STEPS},
    "round_robin": {"how": "round_robin", "batch_sizes": {"left": 8, "right": 5}, "steps": STEPS},
}


def arrays():
    """Two files: both have a class and a size a sample; some classes of the second one are missing by a mask."""
    generator = np.random.default_rng(4)
    made = []
    for size in SIZES:
        x = generator.normal(size=(size, 6)).astype(np.float32)
        y, z = generator.integers(0, 3, size), (x[:, :2] * 2).astype(np.float32)
        made.append({"x": x, "y": y, "z": z, "known": (generator.random(size) < 0.7).astype(np.uint8)})
    return made


def splits():
    """The first rows of each file are to train on, then come those of val, and three of test."""
    return [
        np.where(np.arange(n) < t, 0, np.where(np.arange(n) < n - 3, 1, 2)) for n, t in zip(SIZES, TRAIN, strict=True)
    ]


def steps(how):
    """The rows of each step of the training: (rows of left, rows of right), as docs/data_format.md says."""
    first = (0, SIZES[0])  # numbers count through both files, and both are one block
    streams = [
        np.concatenate([epoch_order(np.arange(t) + f, sum(SIZES), SEED, epoch) - f for epoch in range(3)])
        for t, f in zip(TRAIN, first, strict=True)
    ]
    sizes = list(MIXTURES[how]["batch_sizes"].values())
    for number in range(EPOCHS * STEPS):
        turn = number % STEPS % 2
        taken = [n if how == "fixed" or turn == k else 0 for k, n in enumerate(sizes)]
        yield [stream[:n] for stream, n in zip(streams, taken, strict=True)]
        streams = [stream[n:] for stream, n in zip(streams, taken, strict=True)]


@pytest.fixture(scope="module")
def made(bench, tmp_path_factory):
    """Make a bench for the given tasks on the two files."""
    folder = tmp_path_factory.mktemp("sources")
    files = {name: folder / f"{name}.h5" for name in ("left", "right")}
    for file, given, split in zip(files.values(), arrays(), splits(), strict=True):
        write_dataset_file(file, given, split)
    defaults = {"batch_size": 9, "optimizer": {"name": "sgd", "learning_rate": RATE}, "engine": "mpi"}
    data = {name: str(file) for name, file in files.items()}
    return lambda tasks, **keys: bench(tasks, data=data, defaults=defaults, seed=SEED, **keys)


def family(framework, how="fixed", **changes):
    """A joint network: both sources have labels of head `a`, those of `right` with a mask; `b` belongs to `left`."""
    net = {"kind": "train", "framework": framework, "model": MLP, "input": "left/x", "target": "left/y", "epochs": 1}
    heads = {
        "a": {"loss": "softmax_ce", "model": {"name": "mlp", "outputs": 3}, "metrics": ["accuracy", "log_loss"]},
        "b": {"loss": "l2", "model": {"name": "mlp", "outputs": 2}, "metrics": ["mse"], "weight": 0.5},
    }
    sources = {
        "left": {"input": "left/x", "targets": {"a": "left/y", "b": "left/z"}},
        "right": {"input": "right/x", "targets": {"a": "right/y"}, "masks": {"a": "right/known"}},
    }
    joint = {"kind": "joint", "framework": framework, "needs": {"net": "parameters"}, "trunk": {"from": "net"}}
    mixture = MIXTURES.get(how, {"how": how})
    return {
        "net": {**net, "loss": "softmax_ce"},
        "joint": {**joint, "sources": sources, "mixture": mixture, "heads": heads, "epochs": EPOCHS, **changes},
        "report": {"kind": "evaluate", "needs": {"joint": "parameters"}, "source": "right", "split": "val"},
        "scores": {"kind": "predict", "needs": {"joint": "parameters"}, "source": "right"},
    }


def start_of(made, tasks):
    """The parameters that the joint network begins with: those after steps of a rate that changes nothing."""
    tiny = {"optimizer": {"name": "sgd", "learning_rate": 1e-30}}
    done = made({**tasks, "joint": {**tasks["joint"], **tiny}})
    done.run("net")
    done.run("joint")
    return {name.removeprefix(PARAMETERS): array for name, array in done.parameters("joint").items()}


def torch_script(start, how, over="labelled"):
    """The parameters of a plain PyTorch script; with `over` batch, means are over all samples of a step."""
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    weights = {name: torch.tensor(array, requires_grad=True) for name, array in start.items()}
    optimizer = torch.optim.SGD(weights.values(), lr=RATE)

    def linear(given, name):
        return functional.linear(given, weights[f"{name}.output.weight"], weights[f"{name}.output.bias"])

    for left, right in steps(how):
        one, other = (
            {key: torch.tensor(each[rows]) for key, each in data.items()}
            for data, rows in zip(arrays(), (left, right), strict=True)
        )
        seen = other["known"] == 1
        x, y = torch.cat([one["x"], other["x"][seen]]), torch.cat([one["y"], other["y"][seen]])
        samples, loss = len(left) + len(right), torch.zeros(())
        if len(x):
            each = functional.cross_entropy(linear(linear(x, "trunk"), "heads.a"), y, reduction="sum")
            loss = loss + each / (samples if over == "batch" else len(x))
        if len(left):
            squares = functional.mse_loss(linear(linear(one["x"], "trunk"), "heads.b"), one["z"], reduction="sum")
            loss = loss + 0.5 * squares / 4 / (samples if over == "batch" else len(left))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return {name: each.detach().numpy() for name, each in weights.items()}


def gluon_script(start, how):
    """The same of a plain script of MXNet."""
    mx = pytest.importorskip("mxnet")
    weights = {name: mx.nd.array(array) for name, array in start.items()}
    for each in weights.values():
        each.attach_grad()

    def linear(values, name):
        return mx.nd.dot(values, weights[f"{name}.output.weight"].T) + weights[f"{name}.output.bias"]

    for left, right in steps(how):
        one, other = (
            {key: each[rows] for key, each in data.items()} for data, rows in zip(arrays(), (left, right), strict=True)
        )
        seen = other["known"] == 1
        x, y = np.concatenate([one["x"], other["x"][seen]]), np.concatenate([one["y"], other["y"][seen]])
        for each in weights.values():
            each.grad[:] = 0
        with mx.autograd.record():
            losses = []
            if len(x):
                scores = linear(linear(mx.nd.array(x), "trunk"), "heads.a")
                losses.append(-mx.nd.pick(mx.nd.log_softmax(scores), mx.nd.array(y)).mean())
            if len(left):
                sizes = linear(linear(mx.nd.array(one["x"]), "trunk"), "heads.b")
                losses.append(0.5 * (mx.nd.square(sizes - mx.nd.array(one["z"])) / 2).mean())
            loss = sum(losses[1:], losses[0])
        loss.backward()
        for name, each in weights.items():
            if name.startswith("heads.b") and not len(left):
                continue
            each[:] = each - RATE * each.grad
    return {name: each.asnumpy() for name, each in weights.items()}


SCRIPTS = {"torch": torch_script, "gluon": gluon_script}


@pytest.mark.parametrize("how", MIXTURES)
@pytest.mark.parametrize("framework", SCRIPTS)
def test_a_group_trains_as_a_plain_script(made, framework, how):
    """1, 2 and 3 ranks have its weights within 1e-6, also where a task goes on in the middle of an epoch."""
    tasks = family(framework, how)
    start = start_of(made, tasks)
    expected = SCRIPTS[framework](start, how)

    assert max(np.abs(start[name] - expected[name]).max() for name in start) > 0.05
    for ranks in (1, (2, 1, 3, 1, 2)):
        done = made(tasks)
        done.run("net")
        by_layers = not isinstance(ranks, int)
        _ = done.run_by_layers("joint", ranks) if by_layers else done.run("joint", ranks)
        found = {name.removeprefix(PARAMETERS): array for name, array in done.parameters("joint").items()}
        assert found.keys() == expected.keys()
        assert max(np.abs(found[name] - expected[name]).max() for name in found) <= 1e-6


@pytest.mark.parametrize("framework", SCRIPTS)
def test_means_over_the_batch(made, framework):
    """With `mean_over: batch` the losses are divided by all samples of a step, also those of other sources."""
    tasks = family(framework)
    for head in tasks["joint"]["heads"].values():
        head["mean_over"] = "batch"
    start = start_of(made, tasks)
    expected, apart = (torch_script(start, "fixed", over) for over in ("batch", "labelled"))
    done = made(tasks)
    done.run("net")
    done.run("joint", 3)
    found = {name.removeprefix(PARAMETERS): array for name, array in done.parameters("joint").items()}

    assert max(np.abs(found[name] - expected[name]).max() for name in found) <= 1e-6
    assert max(np.abs(apart[name] - expected[name]).max() for name in found) > 0.01


@pytest.mark.parametrize("how", ["proportional", "equal", "annealed"])
def test_a_resumed_training_is_bit_equal(made, how):
    """One rank that stops in the middle of epochs, and goes on from checkpoints, has the bits of one that does not."""
    tasks, found = family("torch", how), []
    for layers in ([1], [1, 1, 1, 1, 1]):
        done = made(tasks)
        done.run("net")
        done.run_by_layers("joint", layers)
        found.append(done.parameters("joint"))

    assert all(np.array_equal(found[0][name], found[1][name]) for name in found[0])


def test_metrics_by_source(made):
    """Validation has metrics and loss of each domain of a head, and over both; evaluate and predict read one source."""
    from sklearn.metrics import log_loss

    done = made(family("torch"))
    done.run("net")
    trained = done.run("joint", 2)[-1].metrics
    report = done.run("report", 2)[-1].metrics
    done.run("scores", 2)
    left, right = arrays()
    val = [np.flatnonzero(split == 1) for split in splits()]
    network = load(done.artifact("joint")).network
    one, other = (network.outputs(each["x"][rows]) for each, rows in zip((left, right), val, strict=True))
    seen = right["known"][val[1]] == 1
    scores, classes = [one["a"], other["a"][seen]], [left["y"][val[0]], right["y"][val[1]][seen]]

    def of(scores, classes):
        shares = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
        return (scores.argmax(axis=1) == classes).mean(), log_loss(classes, shares, labels=[0, 1, 2])

    expected = {}
    for name, each in (("left.", (scores[0], classes[0])), ("right.", (scores[1], classes[1]))):
        accuracy, loss = of(*each)
        expected |= {f"a.{name}val_accuracy": accuracy, f"a.{name}val_log_loss": loss, f"a.{name}val_loss": loss}
    accuracy, loss = of(np.concatenate(scores), np.concatenate(classes))
    expected |= {"a.val_accuracy": accuracy, "a.val_log_loss": loss}
    expected["b.val_mse"] = ((one["b"] - left["z"][val[0]]) ** 2).mean()

    assert {key: each for key, each in trained.items() if "val_" in key} == pytest.approx(expected, rel=1e-5)
    assert report == pytest.approx(
        {"a.accuracy": of(scores[1], classes[1])[0], "a.log_loss": of(scores[1], classes[1])[1]}, rel=1e-5
    )
    published = load(done.artifact("scores"))
    np.testing.assert_allclose(published.arrays["b"], network.outputs(right["x"])["b"], rtol=1e-5, atol=1e-6)

"""Training with mixup is that of a plain script of the framework with both targets' losses, on any number of ranks."""

from __future__ import annotations

import numpy as np
import pytest

from hpcmtl.communicators.inproc import run_ranks
from hpcmtl.data.blocks import epoch_order, global_batch
from hpcmtl.data.hdf5 import write_dataset_file
from hpcmtl.data.mixup import BatchMixup
from hpcmtl.exchange.store import PARAMETERS

pytestmark = pytest.mark.slow

SAMPLES, TRAIN, BATCH, EPOCHS, SEED, RATE, ALPHA = 61, 40, 9, 2, 5, 0.05, 0.6
MLP = {"name": "mlp", "outputs": 3}
SCALE = 2.0
"""Factor of the transform before samples are mixed."""


def steps():
    """Epoch and samples of each step, as docs/data_format.md says; a file of this size is one block."""
    for epoch in range(EPOCHS):
        order = epoch_order(np.arange(TRAIN), SAMPLES, SEED, epoch)
        yield from ((epoch, global_batch(order, step, BATCH)) for step in range(5))


def arrays():
    """Samples with a class that is often missing, a size and some flags each."""
    generator = np.random.default_rng(4)
    x = generator.normal(size=(SAMPLES, 6)).astype(np.float32)
    y = np.where(generator.random(SAMPLES) < 0.3, -1, generator.integers(0, 3, SAMPLES))
    return {"x": x, "y": y, "z": x[:, :2] * 2, "h": (x[:, :3] > 0).astype(np.uint8)}


@pytest.fixture(scope="module")
def made(bench, tmp_path_factory):
    """Make a bench for the given tasks on the file of these arrays."""
    file = tmp_path_factory.mktemp("mixup") / "rows.h5"
    split = np.where(np.arange(SAMPLES) < TRAIN, 0, np.where(np.arange(SAMPLES) < 50, 1, 2))
    write_dataset_file(file, arrays(), split)
    defaults = {"batch_size": BATCH, "optimizer": {"name": "sgd", "learning_rate": RATE}, "engine": "mpi"}
    return lambda tasks, **keys: bench(tasks, data={"rows": str(file)}, defaults=defaults, seed=SEED, **keys)


def family(framework, **changes):
    """A network with heads of three losses: mixed targets cannot stand for the targets of `huber`."""
    net = {"kind": "train", "framework": framework, "model": MLP, "input": "rows/x", "epochs": 1}
    heads = {
        "a": {"target": "rows/y", "missing": -1, "loss": "softmax_ce", "label_smoothing": 0.1},
        "b": {"target": "rows/z", "loss": "huber", "weight": 0.5},
        "c": {"target": "rows/h", "loss": "sigmoid_bce"},
    }
    for (name, head), outputs in zip(heads.items(), (3, 2, 3), strict=True):
        heads[name] = {**head, "model": {"name": "mlp", "outputs": outputs}, "metrics": []}
    joint = {"kind": "joint", "framework": framework, "needs": {"net": "parameters"}, "trunk": {"from": "net"}}
    mixup = {"name": "mixup", "alpha": ALPHA}
    transform = [{"name": "normalise", "mean": [0.0] * 6, "deviation": [SCALE] * 6}, mixup]
    return {
        "net": {**net, "target": "rows/y", "missing": -1, "loss": "softmax_ce", "metrics": []},
        "joint": {**joint, "input": "rows/x", "heads": heads, "epochs": EPOCHS, "transform": transform, **changes},
    }


@pytest.fixture(scope="module")
def start(made):
    """Gives the parameters that the joint network begins with: those after steps of a rate that changes nothing."""
    known = {}

    def find(framework):
        if framework not in known:
            done = made(family(framework, optimizer={"name": "sgd", "learning_rate": 1e-30}))
            done.run("net")
            done.run("joint")
            known[framework] = {key.removeprefix(PARAMETERS): each for key, each in done.parameters("joint").items()}
        return known[framework]

    return find


def mixed_samples(done):
    """The rows of each step, those of the partners, and the shares of the former."""
    seed = run_ranks(1, lambda group: done.context("joint", group).seed("mixup"))[0]
    mixup = BatchMixup(ALPHA, seed, ())
    for epoch, rows in steps():
        yield rows, rows[mixup.partners(rows, epoch)], mixup.shares(rows, epoch).astype(np.float32)


def torch_script(start, mixed, over="labelled"):
    """The parameters and the losses of the last epoch of a plain PyTorch script; see `mean_over` for `over`."""
    torch = pytest.importorskip("torch")
    data, functional = arrays(), torch.nn.functional
    weights = {name: torch.tensor(array, requires_grad=True) for name, array in start.items()}
    optimizer, totals = torch.optim.SGD(weights.values(), lr=RATE), np.zeros((2, 3))
    for number, (rows, others, shares) in enumerate(mixed):
        lam = torch.tensor(shares)
        own, other = (torch.tensor(data["x"][chosen] / SCALE) for chosen in (rows, others))
        x = lam[:, None] * own + (1 - lam[:, None]) * other

        def linear(given, name):
            return functional.linear(given, weights[f"{name}.output.weight"], weights[f"{name}.output.bias"])

        trunk = linear(x, "trunk")
        a, b, c = (linear(trunk, f"heads.{name}") for name in "abc")
        sums, counts = [0.0, 0.0, 0.0], [0.0, float(len(rows)), float(len(rows))]
        for chosen, part in ((rows, lam), (others, 1 - lam)):
            y, z, h = (torch.tensor(data[name][chosen]) for name in ("y", "z", "h"))
            known = y != -1
            each = functional.cross_entropy(a[known], y[known], reduction="none", label_smoothing=0.1)
            sums[0] = sums[0] + (part[known] * each).sum()
            counts[0] += float(part[known].sum())
            sums[1] = sums[1] + (part * functional.huber_loss(b, z, reduction="none").mean(dim=1)).sum()
            bce = functional.binary_cross_entropy_with_logits(c, h.float(), reduction="none")
            sums[2] = sums[2] + (part * bce.mean(dim=1)).sum()
        counts[0] = float(len(rows)) if over == "batch" else counts[0]
        loss = sum(w * s / n for w, s, n in zip((1.0, 0.5, 1.0), sums, counts, strict=True))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if number >= 5:
            totals += [[float(each.detach()) for each in sums], counts]
    return {name: each.detach().numpy() for name, each in weights.items()}, totals[0] / totals[1]


def gluon_script(start, mixed):
    """The same of a plain script of MXNet."""
    mx = pytest.importorskip("mxnet")
    data, totals = arrays(), np.zeros((2, 3))
    weights = {name: mx.nd.array(array) for name, array in start.items()}
    for each in weights.values():
        each.attach_grad()
    for number, (rows, others, shares) in enumerate(mixed):
        own, other = (data["x"][chosen] / SCALE for chosen in (rows, others))
        x = shares[:, None] * own + (1 - shares[:, None]) * other
        known_parts = [(data["y"][each] != -1) * part for each, part in ((rows, shares), (others, 1 - shares))]
        counts = [float(sum(each.sum() for each in known_parts)), float(len(rows)), float(len(rows))]
        with mx.autograd.record():

            def linear(values, name):
                return mx.nd.dot(values, weights[f"{name}.output.weight"].T) + weights[f"{name}.output.bias"]

            trunk = linear(mx.nd.array(x), "trunk")
            a, b, c = (linear(trunk, f"heads.{name}") for name in "abc")
            chances, sums = mx.nd.log_softmax(a), [0.0, 0.0, 0.0]
            for chosen, part, known in zip((rows, others), (shares, 1 - shares), known_parts, strict=True):
                y, z, h = (mx.nd.array(data[name][chosen]) for name in ("y", "z", "h"))
                true = mx.nd.pick(chances, mx.nd.maximum(y, 0))
                each = -0.9 * true - 0.1 * chances.mean(axis=1)
                sums[0] = sums[0] + (each * mx.nd.array(known)).sum()
                sums[1] = sums[1] + (mx.nd.smooth_l1(b - z, scalar=1.0).mean(axis=1) * mx.nd.array(part)).sum()
                bce = mx.nd.relu(c) - c * h + mx.nd.log1p(mx.nd.exp(-mx.nd.abs(c)))
                sums[2] = sums[2] + (bce.mean(axis=1) * mx.nd.array(part)).sum()
            loss = sum(w * s / n for w, s, n in zip((1.0, 0.5, 1.0), sums, counts, strict=True))
        loss.backward()
        for each in weights.values():
            each[:] = each - RATE * each.grad
        if number >= 5:
            totals += [[each.asscalar() for each in sums], counts]
    return {name: each.asnumpy() for name, each in weights.items()}, totals[0] / totals[1]


SCRIPTS = {"torch": torch_script, "gluon": gluon_script}
SLOW = [pytest.param(*case, marks=pytest.mark.slow) for case in ((1, {}), (3, {}), (2, {"accumulate": 2}))]


@pytest.mark.parametrize(("ranks", "changes"), [(2, {}), ((2, 1, 3), {}), *SLOW], ids=str)
@pytest.mark.parametrize("framework", SCRIPTS)
def test_a_group_trains_as_a_plain_script(made, start, framework, ranks, changes):
    """1, 2 and 3 ranks have its weights and losses within 1e-6, also in micro-batches, and resumed on other ranks."""
    done = made(family(framework, **changes))
    expected, losses = SCRIPTS[framework](start(framework), mixed_samples(done))
    done.run("net")
    by_layers = not isinstance(ranks, int)
    metrics = (done.run_by_layers("joint", ranks) if by_layers else done.run("joint", ranks))[-1].metrics
    found = {name.removeprefix(PARAMETERS): array for name, array in done.parameters("joint").items()}

    assert found.keys() == expected.keys()
    assert max(np.abs(found[name] - expected[name]).max() for name in found) <= 1e-6
    assert [metrics[f"{name}.loss"] for name in "abc"] == pytest.approx(losses, rel=1e-5)
    assert max(np.abs(start(framework)[name] - expected[name]).max() for name in found) > 0.03


def test_means_over_the_batch(made, start):
    """With `mean_over: batch` the losses of both targets are divided by all samples of the step, labelled or not."""
    pytest.importorskip("torch")
    tasks = family("torch")
    tasks["joint"]["heads"]["a"]["mean_over"] = "batch"
    done = made(tasks)
    expected, losses = torch_script(start("torch"), mixed_samples(done), "batch")
    done.run("net")
    metrics = done.run("joint", 2)[-1].metrics
    found = {name.removeprefix(PARAMETERS): array for name, array in done.parameters("joint").items()}

    assert max(np.abs(found[name] - expected[name]).max() for name in found) <= 1e-6
    assert [metrics[f"{name}.loss"] for name in "abc"] == pytest.approx(losses, rel=1e-5)


@pytest.mark.parametrize("framework", SCRIPTS)
def test_losses_of_users_are_mixed_alike(made, framework):
    """A loss of the user's is called with both targets, so that nothing has to be mixed but the samples."""
    if framework == "torch":
        pytest.importorskip("torch")
    own = {"torch": "torch.nn:L1Loss", "gluon": "mxnet.gluon.loss:L1Loss"}[framework]
    net = {"kind": "train", "framework": framework, "model": {"name": "mlp", "outputs": 2}, "input": "rows/x"}
    task = {**net, "target": "rows/z", "epochs": 2, "transform": "mixup", "metrics": []}
    done = [made({"net": {**task, "loss": loss}}) for loss in (own, "l1")]
    for each in done:
        each.run("net", 2)
    own_weights, weights = (each.parameters("net") for each in done)

    assert all(np.abs(own_weights[name] - weights[name]).max() < 1e-6 for name in weights)


@pytest.mark.parametrize("framework", SCRIPTS)
def test_only_training_mixes(made, framework):
    """Validation and an evaluation see the samples as they are, with the numbers of `normalise` from the training."""
    if framework == "torch":
        pytest.importorskip("torch")
    net = {"kind": "train", "framework": framework, "model": {"name": "mlp", "outputs": 2}, "input": "rows/x"}
    task = {
        **net,
        "target": "rows/z",
        "loss": "l2",
        "epochs": 2,
        "transform": ["normalise", "mixup"],
        "metrics": ["mse"],
    }
    done = made({"net": task, "report": {"kind": "evaluate", "needs": {"net": "parameters"}, "split": "val"}})
    trained, report = done.run("net", 2)[-1].metrics, done.run("report", 2)[-1].metrics
    x, z, weights = *(arrays()[name] for name in ("x", "z")), done.parameters("net")
    train, val = x[:TRAIN].astype(np.float64), slice(TRAIN, 50)
    outputs = (x[val] - train.mean(axis=0)) / train.std(axis=0) @ weights[f"{PARAMETERS}output.weight"].T
    expected = np.mean((outputs + weights[f"{PARAMETERS}output.bias"] - z[val]) ** 2)

    assert report["mse"] == pytest.approx(expected, rel=1e-4)
    assert trained["val_mse"] == pytest.approx(report["mse"], rel=1e-5)

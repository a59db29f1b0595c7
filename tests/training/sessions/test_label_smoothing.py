"""Training with label smoothing is that of a plain PyTorch script with `torch.nn.CrossEntropyLoss(label_smoothing)`."""

from __future__ import annotations

import numpy as np
import pytest

from hpcmtl.data.blocks import epoch_order, global_batch
from hpcmtl.data.hdf5 import write_dataset_file
from hpcmtl.exchange.store import PARAMETERS
from hpcmtl.training.artifacts.load import load

torch = pytest.importorskip("torch")

SAMPLES, TRAIN, BATCH, SEED, RATE, SMOOTHING = 61, 40, 9, 5, 0.05, 0.1


def arrays():
    """Samples with a class and two labels each."""
    generator = np.random.default_rng(4)
    x = generator.normal(size=(SAMPLES, 6)).astype(np.float32)
    return {"x": x, "y": generator.integers(0, 3, SAMPLES), "z": generator.integers(0, 2, (SAMPLES, 2))}


@pytest.fixture(scope="module")
def made(bench, tmp_path_factory):
    """Make a bench for the given tasks on the file of these arrays."""
    file = tmp_path_factory.mktemp("smoothing") / "rows.h5"
    write_dataset_file(file, arrays(), np.where(np.arange(SAMPLES) < TRAIN, 0, 1))
    defaults = {"batch_size": BATCH, "optimizer": {"name": "sgd", "learning_rate": RATE}, "engine": "mpi"}
    return lambda tasks: bench(tasks, data={"rows": str(file)}, defaults=defaults, seed=SEED)


def task(framework, loss, **changes):
    """A linear network."""
    target, outputs, metric = ("rows/y", 3, "log_loss") if loss == "softmax_ce" else ("rows/z", 2, "f1_micro")
    own = {"target": target, "loss": loss, "metrics": [metric], "label_smoothing": SMOOTHING, "input": "rows/x"}
    return {
        "kind": "train",
        "framework": framework,
        "model": {"name": "mlp", "outputs": outputs},
        "epochs": 1,
        **own,
    } | {**changes}


def script(start, loss):
    """The parameters and the mean loss of a plain script."""
    data, smoothed = arrays(), torch.nn.CrossEntropyLoss(label_smoothing=SMOOTHING, reduction="sum")
    weights = {name: torch.tensor(array, requires_grad=True) for name, array in start.items()}
    optimizer, total = torch.optim.SGD(weights.values(), lr=RATE), 0.0
    order = epoch_order(np.arange(TRAIN), SAMPLES, SEED, 0)
    for rows in (global_batch(order, step, BATCH) for step in range(5)):
        made = torch.nn.functional.linear(
            torch.tensor(data["x"][rows]), weights["output.weight"], weights["output.bias"]
        )
        if loss == "softmax_ce":
            value = smoothed(made, torch.tensor(data["y"][rows]))
        else:  # each label is one of two classes, of which the first has the logit 0
            pairs = torch.stack([torch.zeros_like(made), made], dim=-1).reshape(-1, 2)
            value = smoothed(pairs, torch.tensor(data["z"][rows]).reshape(-1)) / 2
        optimizer.zero_grad()
        (value / len(rows)).backward()
        optimizer.step()
        total += value.item()
    return {name: each.detach().numpy() for name, each in weights.items()}, total / TRAIN


@pytest.mark.parametrize("loss", ["softmax_ce", "sigmoid_bce"])
@pytest.mark.parametrize("framework", ["gluon", "torch"])
def test_a_group_trains_as_a_plain_script(made, framework, loss):
    """Two ranks have its weights and its loss; metrics of the validation know nothing of the smoothing."""
    tiny = made({"net": task(framework, loss, optimizer={"name": "sgd", "learning_rate": 1e-30})})
    tiny.run("net")
    start = {name.removeprefix(PARAMETERS): array for name, array in tiny.parameters("net").items()}
    expected, value = script(start, loss)
    done = made({"net": task(framework, loss)})
    metrics = done.run("net", 2)[-1].metrics
    found = {name.removeprefix(PARAMETERS): array for name, array in done.parameters("net").items()}

    assert found.keys() == expected.keys()
    assert max(np.abs(found[name] - expected[name]).max() for name in found) <= 1e-6
    assert metrics["loss"] == pytest.approx(value, rel=1e-5)
    if loss == "softmax_ce":
        data = arrays()
        outputs = torch.tensor(load(done.artifact("net")).network.outputs(data["x"][TRAIN:])["main"])
        plain = torch.nn.functional.cross_entropy(outputs, torch.tensor(data["y"][TRAIN:])).item()
        assert metrics["val_log_loss"] == pytest.approx(plain, rel=1e-5)

"""Training that goes on from an earlier run is that of a plain script on the new rows and the replayed ones."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from hpcmtl.data.blocks import epoch_order
from hpcmtl.data.fingerprint import fingerprints_of, fingerprints_to_json
from hpcmtl.data.hdf5 import write_dataset_file
from hpcmtl.errors import InputError
from hpcmtl.exchange.store import PARAMETERS
from hpcmtl.pipeline.run.preflight import examine

OLD, ALL, BATCH, SEED, RATE, REPLAY = 40, 70, 8, 5, 0.05, 0.25
MLP = {"name": "mlp", "outputs": 3}


def arrays(rows):
    """The first rows of the data, and their split."""
    generator = np.random.default_rng(4)
    x = generator.normal(size=(ALL, 6)).astype(np.float32)
    y = (x[:, 0] > 0).astype(np.int64) + (np.arange(ALL) >= OLD)  # what is learned of new rows differs from old ones
    return {"x": x[:rows], "y": y[:rows]}, np.where(
        np.arange(rows) % 5 == 4, 2, np.where(np.arange(rows) % 5 == 3, 1, 0)
    )


def task(framework="torch", **changes):
    """A linear network."""
    own = {"kind": "train", "framework": framework, "model": MLP, "loss": "softmax_ce", "metrics": ["accuracy"]}
    return {**own, "input": "rows/x", "target": "rows/y", "epochs": 3, **changes}


@pytest.fixture(scope="module")
def benches(bench, tmp_path_factory):
    """Make a bench of the first run, on the old rows, and one on all rows that goes on from it."""

    def make(framework="torch", increment=None, rows=ALL, change=lambda _arrays, _split: None, both=None, **changes):
        folder = tmp_path_factory.mktemp("increment")
        defaults = {"batch_size": BATCH, "optimizer": {"name": "sgd", "learning_rate": RATE}, "engine": "mpi"}
        for name, count in (("old", OLD), ("new", rows)):
            given, split = arrays(count)
            if name == "new":
                change(given, split)
            write_dataset_file(folder / f"{name}.h5", given, split)
        data = {name: {"rows": str(folder / f"{name}.h5")} for name in ("old", "new")}
        first = bench({"net": task(framework, **(both or {}))}, data=data["old"], defaults=defaults, seed=SEED)
        first.directory.data_file.write_text(json.dumps(fingerprints_to_json(fingerprints_of([folder / "old.h5"]))))
        first.run("net")
        keys = {"new_since": str(first.directory.path), **(increment or {"replay": REPLAY})}
        later = lambda **more: bench(  # noqa: E731
            {"net": task(framework, increment=keys, **(both or {}), **changes, **more)},
            data=data["new"],
            defaults=defaults,
            seed=SEED,
        )
        return first, later

    return make


def script(start):
    """The parameters of a plain PyTorch script: each epoch has all new rows once, and a quarter of replayed ones."""
    torch = pytest.importorskip("torch")
    data, split = arrays(ALL)
    new, old = (np.flatnonzero((split == 0) & part) for part in (np.arange(ALL) >= OLD, np.arange(ALL) < OLD))
    count = round(len(new) * REPLAY / (1 - REPLAY))
    replayed = np.concatenate([epoch_order(old, ALL, SEED, epoch) for epoch in range(3)])
    weights = {name: torch.tensor(array, requires_grad=True) for name, array in start.items()}
    optimizer = torch.optim.SGD(weights.values(), lr=RATE)
    for epoch in range(3):
        parts = [epoch_order(new, ALL, SEED, epoch), replayed[count * epoch : count * (epoch + 1)]]
        places = np.concatenate([(np.arange(len(each)) + 0.5) / len(each) for each in parts])
        order = np.concatenate(parts)[np.lexsort((np.repeat([0, 1], [len(each) for each in parts]), places))]
        for begin in range(0, len(order), BATCH):
            rows = order[begin : begin + BATCH]
            made = torch.nn.functional.linear(
                torch.tensor(data["x"][rows]), weights["output.weight"], weights["output.bias"]
            )
            loss = torch.nn.functional.cross_entropy(made, torch.tensor(data["y"][rows]))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return {name: each.detach().numpy() for name, each in weights.items()}


def accuracy(parameters):
    """The accuracy of a linear network on the test rows that the first run had."""
    data, split = arrays(OLD)
    scores = data["x"] @ parameters["output.weight"].T + parameters["output.bias"]
    return (scores.argmax(axis=1) == data["y"])[split == 2].mean()


@pytest.mark.parametrize("framework", ["torch", "gluon"])
def test_it_trains_as_a_plain_script(benches, framework):
    """One and three ranks have its weights, also resumed; forgetting is that of numpy on old test rows."""
    first, later = benches(framework)
    start = {name.removeprefix(PARAMETERS): array for name, array in first.parameters("net").items()}
    expected = script(start)
    for ranks in ([1], [3, 1, 2]):
        done = later()
        metrics = done.run_by_layers("net", ranks)[-1].metrics
        found = {name.removeprefix(PARAMETERS): array for name, array in done.parameters("net").items()}

        assert max(np.abs(found[name] - expected[name]).max() for name in found) <= 1e-6
        assert metrics["old_test_accuracy_before"] == pytest.approx(accuracy(start))
        assert metrics["old_test_accuracy"] == pytest.approx(accuracy(found))
        assert metrics["old_test_accuracy_change"] == pytest.approx(accuracy(found) - accuracy(start))
    assert max(np.abs(start[name] - expected[name]).max() for name in start) > 0.05


def test_forgetting_is_that_of_the_published_network(benches):
    """Each rank has running statistics of its own rows: without validation too, metrics are of their mean."""
    own = {"model": {"name": "own_modules:Shifted"}, "metrics": ["log_loss"], "validate_every": 0}
    _, later = benches(both=own)
    done = later()
    metrics = done.run("net", 3)[-1].metrics
    found = {name.removeprefix(PARAMETERS): array for name, array in done.parameters("net").items()}
    data, split = arrays(OLD)
    scores = (data["x"] - 9 * found["mean"]) @ found["output.weight"].T + found["output.bias"]
    losses = np.log(np.exp(scores).sum(axis=1)) - scores[np.arange(OLD), data["y"]]

    assert metrics["old_test_log_loss"] == pytest.approx(losses[split == 2].mean(), rel=1e-4)


def test_without_replay_only_new_rows_are_seen(benches):
    """An epoch has the new rows alone: the planned steps are those of 18 rows."""
    _, later = benches(increment={"replay": 0})

    assert sum(each.steps for each in later().run("net")) == 3 * 3


def altered(given, _split):
    """Changes a value of an old row."""
    given["x"][7] += 1


def moved(_given, split):
    """Moves an old test row to the train split."""
    split[4] = 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"rows": OLD}, "no train row is new: the earlier training had the first 40 rows"),
        ({"change": altered}, "no file of .* had its first rows, with their split"),
        ({"change": moved}, "no file of .* had its first rows, with their split"),
        ({"increment": {"new_since": "nowhere"}}, "nowhere has no parameters of net"),
        ({"model": {"name": "mlp", "widths": [4], "outputs": 3}}, "another network: its parameter .*; name a training"),
        ({"sampler": {"how": "balanced"}}, "does not go with `sampler`"),
    ],
)
def test_refusals(benches, options, words):
    """Old rows that were changed or moved to another split, no new row, no such run: refused before a step."""
    _, later = benches(**options)
    try:
        found = examine(later().prepared, ["net"]).problems
    except InputError as error:  # by the checks without data
        found = error.problems

    assert len(found) == 1
    assert "tasks.net.increment: " in str(found[0])
    assert re.search(words, str(found[0]))

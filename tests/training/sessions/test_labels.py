"""Training on labels of which some are missing is that of a plain script of the framework, on any number of ranks."""

from __future__ import annotations

import numpy as np
import pytest

from hpcmtl.communicators.inproc import RankFailedError
from hpcmtl.data.blocks import epoch_order, global_batch
from hpcmtl.data.hdf5 import write_dataset_file
from hpcmtl.exchange.store import PARAMETERS
from hpcmtl.training.artifacts.load import load

pytestmark = pytest.mark.slow

SAMPLES, TRAIN, BATCH, EPOCHS, SEED, RATE = 61, 40, 9, 2, 5, 0.05
CLASS_WEIGHTS = [0.5, 2.0, 1.25]
MLP = {"name": "mlp", "outputs": 3}


def steps(epochs=EPOCHS):
    """The samples of each step, as docs/data_format.md says; a file of this size is one block."""
    for epoch in range(epochs):
        order = epoch_order(np.arange(TRAIN), SAMPLES, SEED, epoch)
        yield from (global_batch(order, step, BATCH) for step in range(5))


def arrays():
    """Samples with a class, two sizes and a height each; some steps have no label of one kind, or one rank has none."""
    generator = np.random.default_rng(4)
    x = generator.normal(size=(SAMPLES, 6)).astype(np.float32)
    y, z = generator.integers(0, 3, SAMPLES), generator.normal(size=(SAMPLES, 2)).astype(np.float32)
    y[generator.random(SAMPLES) < 0.3] = -1
    z[generator.random(z.shape) < 0.3] = np.nan
    _, no_class, no_size, half, *_ = steps(1)
    y[no_class], z[no_size], y[half[:5]] = -1, np.nan, -1
    mask = (generator.random(SAMPLES) < 0.6).astype(np.uint8)
    return {"x": x, "y": y, "z": z, "h": x[:, :1] * 2, "h_mask": mask}


@pytest.fixture(scope="module")
def made(bench, tmp_path_factory):
    """Make a bench for the given tasks on the file of these arrays."""
    file = tmp_path_factory.mktemp("labels") / "rows.h5"
    split = np.where(np.arange(SAMPLES) < TRAIN, 0, np.where(np.arange(SAMPLES) < 50, 1, 2))
    write_dataset_file(file, arrays(), split, {"z": {"missing": np.nan}})
    defaults = {"batch_size": BATCH, "optimizer": {"name": "sgd", "learning_rate": RATE}, "engine": "mpi"}
    return lambda tasks, **keys: bench(tasks, data={"rows": str(file)}, defaults=defaults, seed=SEED, **keys)


def family(framework, epochs=EPOCHS, **changes):
    """A network with three heads: classes, sizes and heights, whose missing labels are declared in three ways."""
    net = {"kind": "train", "framework": framework, "model": MLP, "input": "rows/x", "epochs": 1}
    heads = {
        "a": {"target": "rows/y", "missing": -1, "class_weights": CLASS_WEIGHTS, "loss": "softmax_ce"},
        "b": {"target": "rows/z", "missing": "nan", "loss": "l2", "weight": 0.5},
        "c": {"target": "rows/h", "mask": "rows/h_mask", "loss": "huber"},
    }
    outputs, metrics = {"a": 3, "b": 2, "c": 1}, {"a": ["accuracy"], "b": ["mse", "r2"], "c": ["mse"]}
    for name, head in heads.items():
        head |= {"model": {"name": "mlp", "outputs": outputs[name]}, "metrics": metrics[name]}
    joint = {"kind": "joint", "framework": framework, "needs": {"net": "parameters"}, "trunk": {"from": "net"}}
    return {
        "net": {**net, "target": "rows/y", "missing": -1, "loss": "softmax_ce"},
        "joint": {**joint, "input": "rows/x", "heads": heads, "epochs": epochs, **changes},
        "report": {"kind": "evaluate", "needs": {"joint": "parameters"}, "split": "val"},
    }


def start_of(made, framework):
    """The parameters that the joint network begins with: those after steps of a rate that changes nothing."""
    tiny = {"name": "sgd", "learning_rate": 1e-30}
    done = made(family(framework, optimizer=tiny))
    done.run("net")
    done.run("joint")
    return {name.removeprefix(PARAMETERS): array for name, array in done.parameters("joint").items()}


def torch_script(start):
    """The parameters and the losses of the last epoch of a plain PyTorch script."""
    torch = pytest.importorskip("torch")
    data, functional = arrays(), torch.nn.functional
    weights = {name: torch.tensor(array, requires_grad=True) for name, array in start.items()}
    optimizer, totals = torch.optim.SGD(weights.values(), lr=RATE), np.zeros((2, 3))
    for number, rows in enumerate(steps()):
        x, y, z, h = (torch.tensor(data[name][rows]) for name in ("x", "y", "z", "h"))

        def linear(given, name):
            return functional.linear(given, weights[f"{name}.output.weight"], weights[f"{name}.output.bias"])

        trunk = linear(x, "trunk")
        a, b, c = (linear(trunk, f"heads.{name}") for name in "abc")
        known = [y != -1, ~torch.isnan(z), torch.tensor(data["h_mask"][rows] == 1)]
        each = functional.cross_entropy(a[known[0]], y[known[0]], torch.tensor(CLASS_WEIGHTS), reduction="none")
        sums = [
            each.sum(),
            (functional.mse_loss(b[known[1]], z[known[1]], reduction="none") / 2).sum(),
            functional.huber_loss(c[known[2]], h[known[2]], reduction="sum"),
        ]
        counts = [int(each.sum()) for each in known]
        loss = sum(w * s / n for w, s, n in zip((1.0, 0.5, 1.0), sums, counts, strict=True) if n)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if number >= 5:
            totals += [[float(each.detach()) for each in sums], counts]
    return {name: each.detach().numpy() for name, each in weights.items()}, totals[0] / totals[1]


def gluon_script(start):
    """The same of a plain script of MXNet."""
    mx = pytest.importorskip("mxnet")
    data, totals = arrays(), np.zeros((2, 3))
    weights = {name: mx.nd.array(array) for name, array in start.items()}
    for each in weights.values():
        each.attach_grad()
    for number, rows in enumerate(steps()):
        x, y, z, h = (data[name][rows] for name in ("x", "y", "z", "h"))
        known = [y != -1, ~np.isnan(z), (data["h_mask"][rows] == 1)[:, None]]
        counts = [int(each.sum()) for each in known]
        given = [mx.nd.array(np.where(k, t, 0)) for k, t in zip(known, (y, z, h), strict=True)]
        of_class = np.array(CLASS_WEIGHTS)[np.maximum(y, 0)]
        factors = [mx.nd.array(f / max(n, 1)) for f, n in zip((known[0] * of_class, *known[1:]), counts, strict=True)]
        with mx.autograd.record():

            def linear(values, name):
                return mx.nd.dot(values, weights[f"{name}.output.weight"].T) + weights[f"{name}.output.bias"]

            trunk = linear(mx.nd.array(x), "trunk")
            a, b, c = (linear(trunk, f"heads.{name}") for name in "abc")
            sums = [
                (-mx.nd.pick(mx.nd.log_softmax(a), given[0]) * factors[0]).sum(),
                (mx.nd.square(b - given[1]) / 2 * factors[1]).sum(),
                (mx.nd.smooth_l1(c - given[2], scalar=1.0) * factors[2]).sum(),
            ]
            loss = sums[0] + 0.5 * sums[1] + sums[2]
        loss.backward()
        for each in weights.values():
            each[:] = each - RATE * each.grad
        if number >= 5:
            totals += [[float(each.asscalar()) * n for each, n in zip(sums, counts, strict=True)], counts]
    return {name: each.asnumpy() for name, each in weights.items()}, totals[0] / totals[1]


SCRIPTS = {"torch": torch_script, "gluon": gluon_script}


SLOW = [pytest.param(*case, marks=pytest.mark.slow) for case in ((1, {}), (3, {}), (2, {"accumulate": 2}))]


@pytest.mark.parametrize(("ranks", "changes"), [(2, {}), ((2, 1, 3), {}), *SLOW], ids=str)
@pytest.mark.parametrize("framework", SCRIPTS)
def test_a_group_trains_as_a_plain_script(made, framework, ranks, changes):
    """1, 2 and 3 ranks have its weights and losses within 1e-6, also in micro-batches, and resumed on other ranks."""
    # The means are over the known labels of the whole batch. A batch without a label of a kind, and a rank without
    # one, are among the steps; such a label is NaN, -1, or a number under a mask.
    start = start_of(made, framework)
    expected, losses = SCRIPTS[framework](start)
    done = made(family(framework, **changes))
    done.run("net")
    by_layers = not isinstance(ranks, int)
    metrics = (done.run_by_layers("joint", ranks) if by_layers else done.run("joint", ranks))[-1].metrics
    found = {name.removeprefix(PARAMETERS): array for name, array in done.parameters("joint").items()}

    assert found.keys() == expected.keys()
    assert max(np.abs(found[name] - expected[name]).max() for name in found) <= 1e-6
    assert [metrics[f"{name}.loss"] for name in "abc"] == pytest.approx(losses, rel=1e-5)
    assert max(np.abs(start[name] - expected[name]).max() for name in start) > 0.05


@pytest.mark.parametrize("ranks", [1, 3])
def test_metrics_are_over_known_labels(made, ranks):
    """Validation and an evaluate task have the metrics of numpy and scikit-learn over the known labels alone."""
    from sklearn.metrics import r2_score

    done = made(family("gluon"))
    done.run("net")
    trained = done.run("joint", ranks)[-1].metrics
    report = done.run("report", ranks)[-1].metrics
    data, val = arrays(), slice(TRAIN, 50)
    outputs = load(done.artifact("joint")).network.outputs(data["x"][val])
    y, z, h, mask = (data[name][val] for name in ("y", "z", "h", "h_mask"))
    known, seen = ~np.isnan(z), mask == 1
    columns = [r2_score(z[known[:, n], n], outputs["b"][known[:, n], n]) for n in (0, 1)]
    expected = {
        "a.accuracy": (outputs["a"].argmax(axis=1) == y)[y != -1].mean(),
        "b.mse": ((outputs["b"] - z)[known] ** 2).mean(),
        "b.r2": np.mean(columns),
        "c.mse": ((outputs["c"] - h)[seen] ** 2).mean(),
    }

    assert report == pytest.approx(expected, rel=1e-5)
    assert {key.replace("val_", ""): each for key, each in trained.items() if "val_" in key} == pytest.approx(report)


def test_balanced_weights_are_those_of_scikit_learn(made):
    """`balanced` trains as the list of weights does that scikit-learn gives for the known labels of the train rows."""
    from sklearn.utils.class_weight import compute_class_weight

    y = arrays()["y"][:TRAIN]
    weights = compute_class_weight("balanced", classes=np.arange(3), y=y[y != -1]).tolist()
    found = []
    for given in ("balanced", weights):
        tasks = family("gluon")
        tasks["net"]["class_weights"] = given
        done = made(tasks)
        done.run("net", 2)
        found.append(done.parameters("net"))

    assert all(np.allclose(found[0][name], found[1][name], rtol=0, atol=1e-7) for name in found[0])


def test_a_split_without_a_label_is_refused(made, bench):
    """Labels that only the validation samples have are nothing to train on; all ranks say so before the first step."""
    tasks = family("gluon")
    tasks["net"] |= {"target": "made/y", "needs": {"made": "data"}, "input": "made/x"}
    made_by = {"kind": "python", "callable": "own_tasks:labels_of_val", "outputs": ["x", "y"]}
    done = made({"made": made_by, "net": tasks["net"]})
    done.run("made")
    with pytest.raises(RankFailedError) as raised:
        done.run("net", 2)

    assert "none of the 8 labels to train on is known; look at `missing` or `mask`" in str(raised.value.__cause__)

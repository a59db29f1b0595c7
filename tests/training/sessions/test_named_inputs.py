"""Tasks whose networks take several inputs: they train as plain loops do, and every kind of task reads them."""

from __future__ import annotations

import zlib

import numpy as np
import own_blocks
import pytest

import hpcmtl
from hpcmtl.communicators.inproc import RankFailedError
from hpcmtl.data.hdf5 import write_dataset_file
from hpcmtl.exchange.store import PARAMETERS
from hpcmtl.networks.description import Leaf
from hpcmtl.networks.models import UserModel
from hpcmtl.training.frameworks import open_framework
from hpcmtl.training.gluon.compat import import_mxnet

torch = pytest.importorskip("torch")
import own_modules  # noqa: E402 - it imports PyTorch

pytestmark = pytest.mark.slow

mx = import_mxnet()
SAMPLES, TRAIN, EPOCHS, RATE, SEED = 61, 40, 4, 0.1, 5
INPUTS = {"image": "small/images", "table": "columns/table"}
SHAPES = {"image": (1, 6, 6), "table": (2,)}
FRAMEWORKS = ["torch", "gluon"]
FUSION = {
    "name": "fusion",
    "encoders": {
        "table": {"name": "mlp", "widths": [4], "outputs": 3},
        "image": {"name": "convnet", "channels": [2], "outputs": 4},
        "word": {"name": "embedding_rnn", "vocabulary": 5, "embedding": 3, "hidden": 4, "outputs": 3},
    },
    "widths": [6],
    "outputs": 3,
}
WORDED = {**INPUTS, "word": "columns/word"}


def columns():
    """A table and words for the samples of the images; the class is no function of one of them."""
    generator = np.random.default_rng(2)
    classes = np.arange(SAMPLES) % 3
    return {
        "table": generator.normal(size=(SAMPLES, 2)).astype(np.float32),
        "word": generator.integers(1, 5, (SAMPLES, 4)).astype(np.uint8),
        "mixed": (classes + np.arange(SAMPLES) // 3) % 3,
    }


SPLIT = np.where(np.arange(SAMPLES) < TRAIN, 0, np.where(np.arange(SAMPLES) < 48, 1, 2))


@pytest.fixture(scope="module")
def made(bench, small_file, tmp_path_factory):
    """Makes a bench whose data are in two files with the same samples."""
    file = tmp_path_factory.mktemp("columns") / "columns.h5"
    write_dataset_file(file, columns(), SPLIT)
    engines = {"batch_size": 9, "optimizer": {"name": "adam", "learning_rate": 0.02}, "engine": "mpi"}
    data = {"small": str(small_file), "columns": str(file)}
    return lambda tasks, **keys: bench(tasks, data=data, defaults=engines, **keys)


def read(file, *names):
    """Arrays of a data file, as networks get them."""
    return [hpcmtl.load(file).arrays[name] for name in names]


def net(framework, task, **changes):
    """A task that trains a network of two inputs; own modules and blocks have one name."""
    place = {"torch": "own_modules", "gluon": "own_blocks"}[framework]
    model = {"name": f"{place}:TableAndImage"}
    return task(framework=framework, model=model, input=INPUTS, metrics=[], **changes)


def plain_torch(state, image, table, labels):
    """Parameters after full-batch steps of plain PyTorch."""
    module = own_modules.TableAndImage()
    module.load_state_dict({name: torch.tensor(each) for name, each in state.items()})
    optimizer = torch.optim.SGD(module.parameters(), lr=RATE)
    for _ in range(EPOCHS):
        optimizer.zero_grad()
        scores = module(torch.tensor(table), torch.tensor(image))
        torch.nn.functional.cross_entropy(scores, torch.tensor(labels)).backward()
        optimizer.step()
    return {name: each.detach().numpy() for name, each in module.state_dict().items()}


def plain_gluon(state, image, table, labels):
    """Parameters after full-batch steps of plain Gluon."""
    block, loss = own_blocks.TableAndImage(), mx.gluon.loss.SoftmaxCrossEntropyLoss()
    block.initialize()
    parameters = block._collect_params_with_prefix()
    for name, each in parameters.items():
        each.set_data(mx.nd.array(state[name]))
    trainer = mx.gluon.Trainer(block.collect_params(), "sgd", {"learning_rate": RATE})
    for _ in range(EPOCHS):
        with mx.autograd.record():
            losses = loss(block(mx.nd.array(table), mx.nd.array(image)), mx.nd.array(labels))
        losses.backward()
        trainer.step(len(labels))
    return {name: each.data().asnumpy() for name, each in parameters.items()}


@pytest.mark.parametrize("ranks", [1, 2, 3])
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_training_is_the_plain_loop(made, task, framework, ranks):
    """Parameters are those of a loop of the framework's own on the whole batch, on any number of ranks."""
    keys = {"batch_size": TRAIN, "epochs": EPOCHS, "optimizer": {"name": "sgd", "learning_rate": RATE}}
    done = made({"net": net(framework, task, **keys)})
    done.run("net", ranks)
    found = {name.removeprefix(PARAMETERS): each for name, each in done.parameters("net").items()}
    seed = zlib.crc32(f"{SEED}/net/initial parameters".encode()) & 0x7FFFFFFF
    (images, labels), (table,) = (
        read(done.prepared.files["small"], "images", "digit"),
        read(done.prepared.files["columns"], "table"),
    )
    model = Leaf(UserModel(name=net(framework, task)["model"]["name"]))
    start = type(open_framework(framework).network(model, SHAPES, ("main",)))(model, SHAPES, ["main"], seed)
    state = {name.removeprefix(PARAMETERS): each for name, each in start.parameter_arrays().items()}
    plain = {"torch": plain_torch, "gluon": plain_gluon}[framework]
    expected = plain(state, images[:TRAIN], table[:TRAIN], labels[:TRAIN])

    assert found.keys() == expected.keys()
    assert max(np.abs(expected[name] - state[name]).max() for name in state) > 1e-2
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("changes", [{"sync_batchnorm": True}, {"accumulate": 2}], ids=str)
def test_other_passes(made, task, framework, changes):
    """Batch normalisation over the group, and micro-batches, give on two ranks what one rank gives without them."""
    found = []
    for ranks, keys in ((1, {}), (2, changes)):
        own = net(framework, task, epochs=2, batch_size=10, optimizer={"name": "sgd", "learning_rate": RATE}, **keys)
        done = made({"net": {**own, "model": {**own["model"], "normalised": "sync_batchnorm" in changes}}})
        done.run("net", ranks)
        found.append(done.parameters("net"))

    for name, array in found[0].items():
        np.testing.assert_allclose(found[1][name], array, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_every_kind_of_task_reads_them(made, task, framework):
    """Features, predictions, metrics, a joint network and `hpcmtl.load` take the same inputs, transformed alike."""
    transform = {"image": "normalise", "table": [{"name": "normalise"}, {"name": "noise", "deviation": 0.01}]}
    model = {**FUSION, "activation": "tanh"}
    keys = {"framework": framework, "input": WORDED, "epochs": 3}
    joint = {"kind": "joint", "needs": {"net": "parameters"}, "trunk": {"from": "net", "part": "body"}, **keys}
    heads = {"odd": {"model": {"name": "mlp", "outputs": 2}, "target": "small/odd", "loss": "softmax_ce"}}
    tasks = {
        "net": task(model=model, transform=transform, **keys),
        "code": {"kind": "extract", "needs": {"net": "parameters"}, "output": "body"},
        "scores": {"kind": "predict", "needs": {"net": "parameters"}, "input": WORDED},
        "report": {"kind": "evaluate", "needs": {"net": "parameters"}, "metrics": ["accuracy"]},
        "joint": {**joint, "heads": heads, "transform": {"image": "normalise"}},
    }
    done = made(tasks)
    done.run_by_layers("net", [2, 1])
    done.layers = 1
    for name in ("code", "scores", "joint"):
        done.run(name, 2)
    (report,) = done.run("report", 2)
    loaded = hpcmtl.load(done.artifact("net"))
    images, labels = read(done.prepared.files["small"], "images", "digit")
    table, word = read(done.prepared.files["columns"], "table", "word")
    rows = {"image": images, "table": table, "word": word}
    outputs = loaded.network.outputs(rows)["main"]
    rest = {"rtol": 1e-5, "atol": 1e-5}

    assert loaded.description.input is None
    assert {name: each.shape for name, each in loaded.description.inputs.items()} == {**SHAPES, "word": (4,)}
    kept = loaded.description.inputs["table"].transforms[0]
    np.testing.assert_allclose(kept["mean"], rows["table"][:TRAIN].mean(axis=0, dtype=np.float64), rtol=1e-12)
    np.testing.assert_allclose(hpcmtl.load(done.artifact("scores")).arrays["main"], outputs, **rest)
    code = hpcmtl.load(done.artifact("code")).arrays["values"]
    np.testing.assert_allclose(code, loaded.network.outputs(rows, "body")["values"], **rest)
    test = SPLIT == 2
    assert report.metrics["accuracy"] == pytest.approx((outputs[test].argmax(axis=1) == labels[test]).mean())
    assert set(hpcmtl.load(done.artifact("joint")).network.outputs(rows)) == {"odd"}


def test_an_input_that_another_task_makes(made, task):
    """An input may be features beside a data file; two ranks give what one gives, in either framework."""
    for framework in FRAMEWORKS:
        found = []
        for ranks in (1, 2):
            tasks = {
                "first": task(epochs=1, framework=framework),
                "features": {"kind": "extract", "needs": {"first": "parameters"}, "output": "body"},
                "net": {
                    **net(framework, task, epochs=2),
                    "model": {**net(framework, task)["model"], "columns": 8},
                    "input": {"image": "small/images", "table": "features/values"},
                    "needs": {"features": "data"},
                },
            }
            done = made(tasks)
            for name in ("first", "features"):
                done.run(name)
            done.run("net", ranks)
            found.append(done.parameters("net"))
        for name, array in found[0].items():
            np.testing.assert_allclose(found[1][name], array, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_each_input_has_its_own_type(made, task, framework):
    """Ids reach a network as integers beside numbers as floats, and bad ids of `hpcmtl.load` are refused."""
    place = {"torch": "own_modules", "gluon": "own_blocks"}[framework]
    model = {"name": f"{place}:IdsAndNumbers", "input_type": {"ids": "integer"}}
    keys = {"input": {"numbers": "columns/table", "ids": "columns/mixed"}, "metrics": [], "epochs": 1}
    done = made({"net": task(framework=framework, model=model, **keys)})
    done.run("net", 2)
    network = hpcmtl.load(done.artifact("net")).network
    rows = {"ids": np.arange(3), "numbers": np.ones((3, 2), np.float32)}

    assert network.outputs(rows)["main"].shape == (3, 3)
    for given, said in (
        ({**rows, "ids": np.ones(3)}, "input ids: has values of type float64"),
        ({**rows, "ids": np.arange(2)}, "other numbers of rows: 2 of ids, 3 of numbers"),
        ({"ids": rows["ids"]}, "give them in a mapping by these names"),
        (rows["numbers"], "found one array; the network takes"),
    ):
        with pytest.raises(hpcmtl.errors.InputError, match=said):
            network.outputs(given)


def test_files_with_other_splits_are_refused_on_all_ranks(made, task, tmp_path):
    """A training refuses files whose samples cannot belong together before its first step; both files are named."""
    other = tmp_path / "other.h5"
    write_dataset_file(other, columns(), np.roll(SPLIT, 1))
    done = made({"net": net("torch", task)})
    done.prepared.files["columns"] = other
    with pytest.raises(RankFailedError) as raised:
        done.run("net", 2)

    assert "other.h5: split: differs from that of" in str(raised.value.__cause__)
    assert done.checkpoints("net") == []

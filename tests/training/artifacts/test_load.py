"""An artifact is used without its job file, and gives what the run gave, bit for bit."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import h5py
import numpy as np
import pytest

import hpcmtl
from hpcmtl.data.hdf5 import write_dataset_file
from hpcmtl.data.reader import open_array
from hpcmtl.errors import EnvironmentUnfitError, InputError
from hpcmtl.exchange.store import read_sealed, seal
from hpcmtl.frameworks.environment import EnvironmentNeeds
from hpcmtl.training.artifacts.load import LoadedArtifact
from hpcmtl.training.evaluation.metrics import compute
from hpcmtl.training.gluon.framework import GluonFramework

pytestmark = pytest.mark.slow

BATCH = 9  # of the defaults of a bench: a row may differ in its last bit by the size of its batch
HEADS = {
    "digit": {"model": {"name": "mlp", "outputs": 3}, "target": "small/digit", "loss": "softmax_ce", "weight": 2.0},
    "odd": {"from": "odd"},
}


@pytest.fixture(scope="module")
def ran(bench, task):
    """Every kind of task, run in one layer on one rank."""
    tasks = {
        "digit": task(),
        "odd": task(target="small/odd", model={"name": "mlp", "widths": [5], "outputs": 2}, input="code/values"),
        "joint": {
            "kind": "joint",
            "needs": {"digit": "parameters", "odd": "parameters"},
            "input": "small/images",
            "trunk": {"from": "digit", "part": "body"},
            "heads": HEADS,
            "epochs": 1,
        },
        "code": {"kind": "extract", "needs": {"digit": "parameters"}, "output": "body"},
        "scores": {"kind": "predict", "needs": {"digit": "parameters"}},
        "report": {"kind": "evaluate", "needs": {"digit": "parameters"}, "metrics": ["accuracy", "log_loss"]},
        "both": {"kind": "predict", "needs": {"joint": "parameters"}},
        "own": task(model={"name": "own_blocks:TwoParts", "width": 5}),
        "call": {"kind": "python", "callable": "own_tasks:arrays", "outputs": ["twice", "label"]},
    }
    tasks["odd"]["needs"] = {"code": "data"}
    made = bench(tasks)
    order = ("digit", "code", "odd", "joint", "scores", "both", "own", "report", "call")
    made.outcomes = {name: made.run(name)[-1] for name in order}
    return made


def images(ran):
    """All samples, as tasks read them."""
    with open_array(ran.prepared.files["small"], "images") as reader:
        return reader.read(0, reader.samples)


def test_a_loaded_network_repeats_predict_and_extract(ran):
    """Its outputs are those of the tasks, bit for bit, from parameters that are those of the file."""
    digit, joint = (hpcmtl.load(ran.artifact(name)) for name in ("digit", "joint"))
    scores, both, code = (hpcmtl.load(ran.artifact(name)).arrays for name in ("scores", "both", "code"))

    assert np.array_equal(digit.network.outputs(images(ran), batch_size=BATCH)["main"], scores["main"])
    assert np.array_equal(digit.network.outputs(images(ran), "body", BATCH)["values"], code["values"])
    made = joint.network.outputs(images(ran), batch_size=BATCH)
    assert list(made) == ["digit", "odd"]
    assert all(np.array_equal(made[name], both[name]) for name in made)
    assert {f"parameters/{name}" for name in digit.arrays} == ran.parameters("digit").keys()


def test_a_loaded_network_repeats_evaluate(ran):
    """Metrics of its outputs on the test split are those that the evaluation reported, bit for bit."""
    test = hpcmtl.load(ran.artifact("scores")).arrays["split"] == 2
    scores = hpcmtl.load(ran.artifact("digit")).network.outputs(images(ran)[test], batch_size=BATCH)["main"]
    with open_array(ran.prepared.files["small"], "digit") as reader:
        labels = reader.read(0, reader.samples)
    reported = ran.outcomes["report"].metrics

    for name in ("accuracy", "log_loss"):
        assert compute(name, scores, labels[test]) == reported[name]


def test_a_trained_network_is_described(ran):
    """Input, outputs, classes, metrics, versions and parents are recorded."""
    known = hpcmtl.load(ran.artifact("joint")).description
    digit = hpcmtl.load(ran.artifact("digit")).description

    assert (known.content, known.job, known.task, known.kind) == ("parameters", "bench", "joint", "joint")
    assert (known.framework, known.versions["hpcmtl"]) == ("gluon", hpcmtl.__version__)
    assert known.versions["numpy"] == np.__version__
    assert (known.input.reference, known.input.shape, known.input.dtype) == ("small/images", (1, 6, 6), "float32")
    assert [(name, each.shape, each.classes) for name, each in known.outputs.items()] == [
        ("digit", (3,), ("a", "b", "c")),
        ("odd", (2,), ("no", "yes")),
    ]
    assert [(each.name, each.edge) for each in known.parents] == [
        ("digit", "parameters"),
        ("odd", "parameters"),
        ("small", "file"),
    ]
    assert digit.metrics == dict(ran.outcomes["digit"].metrics)


def test_data_artifacts_are_described(ran):
    """Arrays of a network name its part and their shapes; only the artifact with the parameters has a network."""
    code, scores = (hpcmtl.load(ran.artifact(name)) for name in ("code", "scores"))

    assert (code.description.content, code.description.part) == ("data", "body")
    assert code.description.outputs["values"].shape == code.arrays["values"].shape[1:]
    assert scores.description.outputs["main"].classes == ("a", "b", "c")
    with pytest.raises(InputError, match=r"holds outputs and no parameters.*digit\.h5"):
        _ = code.network


def test_arrays_of_a_callable_are_described(ran):
    """They have their metrics, and no network."""
    loaded = hpcmtl.load(ran.artifact("call"))

    assert (loaded.description.kind, loaded.description.framework, loaded.description.metrics) == (
        "python",
        "",
        {"rows": 4.0},
    )
    assert loaded.arrays["twice"].tolist() == [[0, 2], [4, 6], [8, 10], [12, 14]]
    assert loaded.arrays["split"].tolist() == [0, 0, 1, 2]
    with pytest.raises(InputError, match="is made by a python task, which has no network"):
        _ = loaded.network


def test_arrays_alone_need_no_framework(ran):
    """A process that cannot import the framework loads arrays and description of an artifact."""
    code = (
        "import sys; sys.modules['mxnet'] = None; import hpcmtl\n"
        f"found = hpcmtl.load({str(ran.artifact('digit'))!r})\n"
        "print(len(found.arrays), found.description.task, 'hpcmtl.training.gluon.framework' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.stdout.split() == [str(len(ran.parameters("digit"))), "digit", "False"], done.stderr


def test_a_network_of_the_users_needs_its_module(ran, monkeypatch):
    """It is found by name; if the module is not there, the message names it and the folder that is gone."""
    loaded = hpcmtl.load(ran.artifact("own"))
    made = loaded.network.outputs(images(ran)[:5])["main"]
    facts = read_sealed(ran.artifact("own"))[1]
    facts["description"]["network"]["model"]["name"] = "no_such_module:make"
    facts["description"]["modules"] = ["/gone/with/it"]
    moved = ran.artifact("own").with_name("moved.h5")
    seal(moved, ran.parameters("own"), facts)

    assert made.shape == (5, 3)
    with pytest.raises(InputError, match=r"moved\.h5.*no_such_module:make.*/gone/with/it is no folder any more"):
        _ = hpcmtl.load(moved).network
    assert "/gone/with/it" not in sys.path[:1]


def test_an_artifact_of_an_earlier_version(ran, tmp_path):
    """Its arrays load, and the network says what is missing."""
    old, data = tmp_path / "old.h5", tmp_path / "data.h5"
    seal(old, ran.parameters("digit"), {"task": "digit"})
    write_dataset_file(data, {"values": np.ones((4, 2), np.float32)}, np.zeros(4, np.uint8))

    for path, names in ((old, set(hpcmtl.load(ran.artifact("digit")).arrays)), (data, {"values", "split"})):
        loaded = hpcmtl.load(path)

        assert (loaded.description, set(loaded.arrays)) == (None, names)
        with pytest.raises(InputError, match="has no description: it is a data file, or was written by"):
            _ = loaded.network


def test_tasks_use_artifacts_of_an_earlier_version(bench, task):
    """A run goes on from parameters and data that were written without a description, with the same results."""
    tasks = {
        "digit": task(epochs=1),
        "code": {"kind": "extract", "needs": {"digit": "parameters"}, "output": "body"},
        "odd": task(target="small/odd", model={"name": "mlp", "outputs": 2}, input="code/values", epochs=1),
    }
    tasks["odd"]["needs"] = {"code": "data"}
    made = bench(tasks)
    for name in tasks:
        made.run(name)
    described = made.parameters("odd")
    for path in made.checkpoints("odd"):
        path.unlink()
    seal(made.artifact("digit"), made.parameters("digit"), {"task": "digit"})
    made.run("code")
    with h5py.File(made.artifact("code"), "r+") as file:
        del file.attrs["description"], file.attrs["description_crc32"]
    made.run("odd")
    again = made.parameters("odd")

    assert hpcmtl.load(made.artifact("code")).description is None
    assert described.keys() == again.keys()
    assert all(np.array_equal(described[name], again[name]) for name in again)


def test_samples_are_scaled_as_in_the_training(bench, task, tmp_path):
    """Integers of any type are multiplied by the scale of the file's; floats and other shapes are not guessed at."""
    generator = np.random.default_rng(2)
    pixels = generator.integers(0, 255, (30, 1, 6, 6), np.uint8)
    file = tmp_path / "pixels.h5"
    attributes = {"pixels": {"scale": 1 / 255}}
    write_dataset_file(file, {"pixels": pixels, "label": np.arange(30) % 3}, np.arange(30) // 12, attributes)
    tasks = {
        "net": task(input="raw/pixels", target="raw/label", epochs=1),
        "made": {"kind": "predict", "needs": {"net": "parameters"}},
    }
    made = bench(tasks, data={"raw": str(file)})
    made.run("net")
    made.run("made")
    loaded = hpcmtl.load(made.artifact("net"))
    known, expected = loaded.description.input, hpcmtl.load(made.artifact("made")).arrays["main"]

    assert (known.stored_dtype, known.dtype, known.scale) == ("uint8", "float32", 1 / 255)
    assert np.array_equal(loaded.network.outputs(pixels, batch_size=BATCH)["main"], expected)
    assert np.array_equal(loaded.network.outputs(pixels * np.float32(1 / 255), batch_size=BATCH)["main"], expected)
    for same in (pixels.astype(np.int64), pixels.astype(">i2"), pixels.tolist()):
        assert np.array_equal(loaded.network.outputs(same, batch_size=BATCH)["main"], expected)
    with pytest.raises(InputError, match=r"found an array of shape \(30, 36\); the network takes \(n, 1, 6, 6\)"):
        loaded.network.outputs(pixels.reshape(30, 36))


def test_samples_without_a_scale_keep_their_values(bench, task, tmp_path):
    """Floats and large integers reach a network of small integers as they are; a product by hand gives its outputs."""
    generator = np.random.default_rng(2)
    file = tmp_path / "counts.h5"
    arrays = {"counts": generator.integers(0, 5, (30, 4)).astype(np.uint8), "label": np.arange(30) % 3}
    write_dataset_file(file, arrays, np.arange(30) // 12)
    model = {"name": "mlp", "outputs": 3}
    made = bench({"net": task(input="raw/counts", target="raw/label", model=model, epochs=1)}, data={"raw": str(file)})
    made.run("net")
    loaded = hpcmtl.load(made.artifact("net"))
    weight, bias = (next(a for n, a in loaded.arrays.items() if n.endswith(end)) for end in ("weight", "bias"))

    for given in (np.full((2, 4), 0.9), np.full((2, 4), -3.5, np.float32), np.full((2, 4), 300), arrays["counts"][:2]):
        expected = given.astype(np.float32) @ weight.T + bias
        assert np.allclose(loaded.network.outputs(given)["main"], expected, rtol=1e-5, atol=1e-5)
    with pytest.raises(InputError, match="found an array of complex128; the network takes real numbers"):
        loaded.network.outputs(np.full((2, 4), 1j))


def test_what_is_no_artifact_is_refused(ran, tmp_path):
    """A file that is missing, foreign, damaged or of another framework is named with the reason."""
    foreign, damaged, other = (tmp_path / f"{name}.h5" for name in ("foreign", "damaged", "other"))
    h5py.File(foreign, "w").close()
    damaged.write_bytes(ran.artifact("code").read_bytes())
    with h5py.File(damaged, "r+") as file:
        file.attrs["description"] = np.bytes_(bytes(file.attrs["description"]).replace(b"body", b"brow"))
    facts = read_sealed(ran.artifact("digit"))[1]
    facts["description"]["framework"] = "nowhere"
    seal(other, ran.parameters("digit"), facts)

    for path, reason in ((tmp_path / "missing.h5", "does not exist"), (foreign, "not sealed"), (damaged, "checksum")):
        with pytest.raises(InputError, match=reason):
            hpcmtl.load(path)
    with pytest.raises((InputError, EnvironmentUnfitError), match="unknown framework 'nowhere'"):
        _ = hpcmtl.load(other).network


def test_a_path_that_is_no_artifact_has_a_remedy(ran, tmp_path):
    """A missing file is answered with those that are there, and a run directory with its files."""
    folder = ran.artifact("digit").parent
    there = ", ".join(sorted(path.stem for path in folder.glob("*.h5")))
    for path, said in (
        (ran.artifact("report"), f"report.h5: does not exist; {folder} has those of {there} (evaluate tasks, and"),
        (tmp_path / "a.h5", f"does not exist, and {tmp_path} has no artifacts"),
        (folder.parent, "is a folder; load one file of it: artifacts/both.h5, artifacts/call.h5, "),
        (tmp_path, "is a folder; load one file of it, as artifacts/TASK.h5 of a run"),
    ):
        with pytest.raises(InputError, match=re.escape(said)):
            hpcmtl.load(path)


def test_parts_of_a_joint_network_are_named(ran):
    """A part begins with `trunk` or with a head; an error for another name says so."""
    network = hpcmtl.load(ran.artifact("joint")).network
    trunk, head = (network.outputs(images(ran)[:3], part)["values"] for part in ("trunk", "heads.odd"))

    assert (len(trunk), head.shape) == (3, (3, 2))
    assert np.array_equal(head, network.outputs(images(ran)[:3])["odd"])
    with pytest.raises(InputError, match=r"no block 'body'.*begins with its trunk or a head: trunk, heads\.digit"):
        network.outputs(images(ran)[:3], "body")


def test_an_artifact_is_shown_in_a_line(ran):
    """Its text has task and shapes and no values; an array that is not there is answered with the names."""
    loaded = hpcmtl.load(ran.artifact("digit"))

    assert repr(loaded).startswith(f"<artifact {loaded.path}: parameters of the train task digit; arrays ")
    assert "output.weight (3, " in repr(loaded)
    assert "\n" not in repr(loaded)
    many = LoadedArtifact(loaded.path, {f"a{k}": np.zeros(k) for k in range(14)}, loaded.description)
    few = LoadedArtifact(loaded.path, {f"a{k}": np.zeros(k) for k in range(12)}, loaded.description)
    assert repr(many).endswith("a11 (11,), and 2 more>")
    assert repr(few).endswith("a11 (11,)>")
    with pytest.raises(KeyError, match=r"no array 'output\.wieght'; did you mean 'output\.weight'"):
        loaded.arrays["output.wieght"]


def test_a_loaded_network_gets_the_environment_that_it_needs(ran, monkeypatch, caplog):
    """A network that its framework gets wrong in its usual setting is built with another one, and the log says so."""
    needs = EnvironmentNeeds(variables={"OWN_SETTING": "0"}, reason="net: runs slower")
    asked = []
    monkeypatch.delenv("OWN_SETTING", raising=False)
    monkeypatch.setattr(
        GluonFramework, "prepare_environment", lambda _self, tasks: (asked.append(tasks), needs)[1], raising=True
    )
    loaded = hpcmtl.load(ran.artifact("digit"))
    assert loaded.network.heads == ()
    (asks,) = asked[0].values()

    assert os.environ.pop("OWN_SETTING") == "0"
    assert asks.network == loaded.description.network
    assert "net: runs slower" in caplog.text

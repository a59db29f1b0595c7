"""The Python interface to real runs: what it gives is what the run wrote, and a running job obeys it."""

from __future__ import annotations

import json

import h5py
import numpy as np
import pytest
from jobs import family, family_task, long_job
from runs import PROGRAM, run_python

import hpcmtl
from hpcmtl.errors import EnvironmentUnfitError, InputError

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.mpi, pytest.mark.slow, pytest.mark.timeout(450)]

OWN = """
import torch

class Net(torch.nn.Module):
    def __init__(self, outputs):
        super().__init__()
        self.hidden, self.last = torch.nn.Linear(64, 8), torch.nn.Linear(8, outputs)
        self.dropout = torch.nn.Dropout(0.5)

    def forward(self, images):
        return self.last(self.dropout(torch.tanh(self.hidden(images.flatten(1)))))
"""
MLP = {"name": "mlp", "widths": [16], "outputs": 10}


def digit(framework, **changes):
    """A train task of two epochs on the images, and the predictions of its network."""
    return family_task("digit", input="digits/images", epochs=2, framework=framework, **{"model": MLP, **changes})


def predict(task):
    """Returns the task of the predictions of another one."""
    return {"kind": "predict", "needs": {task: "parameters"}}


@pytest.fixture(scope="module")
def done(start_once, tmp_path_factory):
    """A run of both frameworks and a network of the user's, to its end."""
    own = tmp_path_factory.mktemp("own")
    (own / "own_net.py").write_text(OWN)
    tasks = {
        "by_torch": digit("torch"),
        "by_gluon": digit("gluon"),
        "own": digit("torch", model={"name": "own_net:Net", "outputs": 10}),
        **{f"{name}_scores": predict(name) for name in ("by_torch", "by_gluon", "own")},
        "report": {"kind": "evaluate", "needs": {"own": "parameters"}, "split": "test", "metrics": ["accuracy"]},
    }
    run = start_once(family(ranks=2, modules=[str(own)], tasks=tasks)).finish()
    assert run.returncode == 0, run.said
    return run


@pytest.fixture
def images(done):
    """The images of the data file as the networks get them, and the split of each."""
    with h5py.File(done.folder / "digits.h5") as file:
        return file["images"][()].astype(np.float32) / 16, file["split"][()]


def stored(done, task):
    """Returns the scores that a task has written, by h5py alone."""
    with h5py.File(done.directory / "artifacts" / f"{task}.h5") as file:
        return file["main"][()]


def test_a_finished_run(done):
    """States, metrics and curves are those of the completion record and of the files of the curves."""
    run = hpcmtl.client.open(done.directory)
    lines = map(json.loads, (done.directory / "curves/own.jsonl").read_text().splitlines())
    written = {(line["step"], line.get("ends_epoch", False)) for line in lines}
    history, record = run.tasks["own"].history, done.results["tasks"]

    assert (run.status, run.job, run.wait(1), run.attempt) == ("complete", "family", "complete", 1)
    assert run.tasks.names == tuple(record)
    assert {task.name: task.metrics for task in run.tasks} == {name: each["metrics"] for name, each in record.items()}
    assert [(point.step, point.ends_epoch) for point in history] == sorted(written)
    last = history.epochs[-1]
    assert last.metrics["val_accuracy"] == run["own"].metrics["val_accuracy"]
    assert last.step == run["own"].steps
    assert any("own" in line.text for line in run["own"].logs())
    assert "own_scores" in run._repr_html_()
    with pytest.raises(KeyError, match="did you mean 'own'"):
        run.tasks["ovn"]
    with pytest.raises(EnvironmentUnfitError, match="has ended"):
        run.cancel()
    with pytest.raises(EnvironmentUnfitError, match="has ended"):
        run["own"].pause()


def test_predictions_are_those_of_the_plain_frameworks(done, images):
    """The network in its framework, the framework's own forward pass, and numpy give the scores that the run wrote."""
    run, (samples, split) = hpcmtl.client.open(done.directory), images
    for task in ("by_torch", "own"):
        network = run.tasks[task].network()
        with torch.no_grad():
            plain = network(torch.tensor(samples)).numpy()
        found = run.tasks[f"{task}_scores"].predictions()
        assert isinstance(network, torch.nn.Module)
        assert not network.training
        for code, name in enumerate(("train", "val", "test")):
            assert np.array_equal(found[name]["main"], stored(done, f"{task}_scores")[split == code])
            np.testing.assert_allclose(found[name]["main"], plain[split == code], rtol=1e-5, atol=1e-5)
    for task in ("by_torch", "by_gluon"):
        arrays = run.tasks[task].artifact.arrays
        hidden = np.maximum(samples.reshape(len(samples), -1) @ arrays["body.1.weight"].T + arrays["body.1.bias"], 0)
        expected = hidden @ arrays["output.weight"].T + arrays["output.bias"]
        np.testing.assert_allclose(stored(done, f"{task}_scores"), expected, rtol=1e-4, atol=1e-4)
        raw = (samples * 16).astype(np.uint8)
        np.testing.assert_allclose(run.tasks[task].outputs(raw)["main"], expected, rtol=1e-4, atol=1e-4)


def test_a_block_of_gluon(done, images):
    """The network of a Gluon task is a block that MXNet runs as any other, and PyTorch is not imported for it."""
    code = (
        "import sys, numpy as np, hpcmtl\n"
        "task = hpcmtl.client.open(sys.argv[1]).tasks['by_gluon']\n"
        "assert not {'torch', 'mxnet', 'mpi4py'} & sys.modules.keys()\n"
        "block = task.network()\n"
        "import mxnet as mx\n"
        "assert isinstance(block, mx.gluon.Block) and 'torch' not in sys.modules\n"
        "np.save('scores.npy', block(mx.nd.array(np.load('images.npy'))).asnumpy())\n"
    )
    np.save(done.folder / "images.npy", images[0])
    made = run_python(done.folder, "-c", code, done.directory)

    assert made.returncode == 0, made.stderr
    scores = np.load(done.folder / "scores.npy")
    np.testing.assert_allclose(scores, stored(done, "by_gluon_scores"), rtol=1e-4, atol=1e-4)


def test_what_a_task_does_not_have(done):
    """An evaluate task has no artifact, a train task no predictions, and a predict task no network of its own."""
    run = hpcmtl.client.open(done.directory)
    with pytest.raises(InputError, match="its kind is evaluate"):
        _ = run["report"].artifact
    with pytest.raises(InputError, match="predictions are those of a predict task"):
        run["own"].predictions()
    with pytest.raises(InputError, match=r"own\.h5"):
        run["own_scores"].network()


def test_a_running_job_obeys(start):
    """A run is found by its job, waits, changes, stops and goes on by calls alone; a wait ends in time."""
    started = start(long_job(1)).until_event("layer_ended", task="digit")
    run = hpcmtl.client.open("latest", started.folder / "runs")
    task = run.tasks["digit"]
    with pytest.raises(TimeoutError, match="has not ended after 0.1 s: it is running"):
        run.wait(timeout=0.1)
    with pytest.raises(InputError, match="give learning_rate="):
        task.set()
    with pytest.raises(InputError, match="learning_rate"):
        task.set(learning_rate=-1.0)
    said = [task.set(learning_rate=0.25, timeout=60), task.pause(timeout=60)]
    started.until(lambda _: task.status == "held" and hpcmtl.client.open(run.place)["digit"].result.layers > 0)
    said.append(task.unpause(timeout=60))
    started.until(lambda _: any(point.learning_rate == 0.25 for point in task.history))
    said.append(run.cancel(timeout=60))

    assert all(said)
    assert run.wait(60) == "stopped"
    assert started.finish().returncode == 75, started.said
    again = run.resume(wait=False)
    try:
        assert (again.attempt, again.result.status, run["after"].status) == (2, "stopped", "waiting")
        with pytest.raises(EnvironmentUnfitError):
            run.resume()
        again["digit"].cancel(timeout=60)
        assert again.wait(60) == "incomplete"
    finally:
        if again.diagnosis["state"] == "running":
            again.cancel(timeout=60)
    assert [each.status for each in again.tasks] == ["cancelled", "skipped"]


SCRIPT = """
import hpcmtl

votes = hpcmtl.Task("predict", needs={"digit": "parameters"})
digit = hpcmtl.Task("train", model={"name": "mlp", "outputs": 10}, input="digits/images", target="digits/digit",
                    loss="softmax_ce", metrics=["accuracy"], epochs=2)
run = hpcmtl.run(hpcmtl.Job(job="in_code", data={"digits": "digits.h5"}, tasks={"digit": digit, "votes": votes}))
opened = hpcmtl.client.open(run.place)
assert run.status == opened.status == run.wait() == "complete"
assert run["digit"].metrics == opened["digit"].metrics == run.result["digit"].metrics
assert [point.step for point in run["digit"].history] == [point.step for point in opened["digit"].history]
assert [task.status for task in run.tasks] == ["complete", "complete"] and run.tasks[1].name == "votes"
print(sorted(run["votes"].predictions()), len(run["digit"].history.epochs))
"""


def test_the_result_of_a_run_in_code(start):
    """`hpcmtl.run` returns what `hpcmtl.client.open` gives for its run directory."""
    run = start(family(), [PROGRAM[0], "-c"], [SCRIPT]).finish()

    assert (run.returncode, run.stdout) == (0, "['test', 'train', 'val'] 2\n"), run.said

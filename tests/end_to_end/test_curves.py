"""Curves of real runs: what numpy computes from the published parameters, and the same curve after a kill."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from jobs import family
from runs import by_mpirun

from hpcmtl.results.curves.reader import read_curves
from hpcmtl.results.rundir.directory import RunDirectory

pytest.importorskip("torch")
pytestmark = [pytest.mark.mpi, pytest.mark.slow, pytest.mark.timeout(600)]

LINEAR = {
    "kind": "train",
    "model": {"name": "mlp", "outputs": 10},
    "input": "digits/images",
    "target": "digits/digit",
    "loss": "softmax_ce",
    "framework": "torch",
    "ranks": 2,
}
STILL = {
    **LINEAR,
    "batch_size": 4096,  # all samples
    "epochs": 4,
    "metrics": ["accuracy"],
    "optimizer": {"name": "sgd", "learning_rate": 1e-30},
}
HEADS = {
    name: {"model": {"name": "mlp", "outputs": count}, "target": f"digits/{name}", "loss": "softmax_ce"}
    for name, count in (("digit", 10), ("parity", 2))
}
TASKS = {
    "still": STILL,
    "joint": {
        "kind": "joint",
        "input": "digits/images",
        "trunk": {"model": {"name": "mlp", "outputs": 16}},
        "heads": HEADS,
        "weighting": {"name": "pcgrad"},
        "framework": "torch",
        "ranks": 2,
        "epochs": 5,
        "layers": 3,
    },
}


def linear(run, images):
    """The outputs of the published linear network."""
    arrays = run.arrays("still")
    (weight,) = (array for array in arrays.values() if array.ndim == 2)
    (bias,) = (array for array in arrays.values() if array.ndim == 1)
    return images.reshape(len(images), -1).astype(np.float64) @ weight.astype(np.float64).T + bias


def test_curves_by_mpirun(start, digits_file):
    """Losses, accuracy and gradient norm are those of numpy; a killed run has the curves of a whole one."""
    job = family(ranks=2, tasks=TASKS)
    sound = start(job, by_mpirun(2)).finish()
    env = {"HPCMTL_FAULT": "kill:rank=all,task=joint,layer=1,step=20", "HPCMTL_FT": "0"}
    died = start(job, by_mpirun(2), env=env).finish()
    resumed = start.again(died.folder, by_mpirun(2), ["resume", str(died.directory)], None).finish()

    assert (sound.returncode, resumed.returncode) == (0, 0), sound.said + resumed.said
    assert died.returncode != 0
    whole, found = (read_curves(RunDirectory(run.directory)) for run in (sound, resumed))
    assert whole.keys() == found.keys() == TASKS.keys()
    assert "2 of 2 tasks complete" in (sound.directory / "report.html").read_text()
    assert "in 2 attempts" in (resumed.directory / "report.html").read_text()
    for task, points in whole.items():
        assert [(p.step, p.ends_epoch) for p in found[task]] == [(p.step, p.ends_epoch) for p in points]
        for one, other in zip(points, found[task], strict=True):
            assert other.losses == pytest.approx(one.losses, rel=1e-5), task
            assert other.weights == pytest.approx(one.weights, rel=1e-4), task
            assert other.learning_rate == one.learning_rate

    with h5py.File(digits_file) as file:
        train, held = file["split"][()] == 0, file["split"][()] == 1
        images, labels = file["images"][()] * file["images"].attrs["scale"], file["digit"][()]
    outputs = linear(sound, images)
    shifted = np.exp(outputs - outputs.max(axis=1, keepdims=True))
    chances = shifted / shifted.sum(axis=1, keepdims=True)
    loss = -np.log(chances[train, labels[train]]).mean()
    error = chances[train] - np.eye(10)[labels[train]]
    rows = images[train].reshape(train.sum(), -1)
    norm = np.sqrt(((error.T @ rows / len(rows)) ** 2).sum() + (error.mean(axis=0) ** 2).sum())
    points = whole["still"]

    assert [(p.step, p.ends_epoch) for p in points] == [(step, end) for step in range(1, 5) for end in (False, True)]
    assert all(point.losses == {"loss": pytest.approx(loss, rel=1e-5)} for point in points)
    assert [p.metrics for p in points if p.ends_epoch] == [
        {"val_accuracy": pytest.approx((outputs[held].argmax(axis=1) == labels[held]).mean())}
    ] * 4
    norms = [point.gradient_norm for point in points if point.gradient_norm is not None]
    assert norms
    assert norms == pytest.approx([norm] * len(norms), rel=1e-4)

    joint = whole["joint"]
    assert all(set(point.weights) == {"digit", "parity"} for point in joint)
    assert all(len(point.cosines) == 2 and point.cosines[0][0] == pytest.approx(1, abs=1e-5) for point in joint)
    assert joint[-1].losses["digit.loss"] < joint[0].losses["digit.loss"]
    assert any(point.samples_per_second for point in joint)

"""The expensive checks find what is wrong with data, callables and networks before any training."""

import numpy as np
import pytest

from hpcmtl.data.hdf5 import write_dataset_file
from hpcmtl.errors import InputError
from hpcmtl.jobfile.load import parse_job
from hpcmtl.pipeline.prepare import prepare
from hpcmtl.pipeline.run.preflight import preflight


def test_callables_that_are_not_there_are_named():
    """A python task whose callable cannot be imported is refused with its name; one that can be is not."""
    tasks = {
        "fine": {"kind": "python", "callable": "math:sqrt"},
        "lost": {"kind": "python", "callable": "math:root"},
        "none": {"kind": "python", "callable": "no_such_module:root"},
    }
    prepared = prepare(parse_job({"hpcmtl": 1, "job": "calls", "tasks": tasks}))
    with pytest.raises(InputError) as raised:
        preflight(prepared, list(tasks))

    assert [problem.where for problem in raised.value.problems] == [
        "job: tasks.lost.callable",
        "job: tasks.none.callable",
    ]


def refused(job):
    """Prepare a job and make the checks of a run; return the places and messages of the problems."""
    prepared = prepare(parse_job({"hpcmtl": 1, "job": "checks", **job}))
    with pytest.raises(InputError) as raised:
        preflight(prepared, list(prepared.job.tasks))
    return [(problem.where, problem.message) for problem in raised.value.problems]


def test_files_with_other_splits_are_refused_once(tmp_path):
    """Targets, weights and targets of features in a file with another split of the same sizes: one problem a file."""
    x, y = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32), np.arange(30) % 2
    files = {"one": np.arange(30) % 3, "same": np.arange(30) % 3, "other": np.arange(30)[::-1] % 3}
    for name, split in files.items():
        write_dataset_file(tmp_path / f"{name}.h5", {"x": x, "y": y, "w": np.ones(30)}, split)
    net = {"kind": "train", "model": {"name": "mlp", "widths": [3], "outputs": 2}, "loss": "softmax_ce", "epochs": 1}
    tasks = {
        "fine": {**net, "input": "one/x", "target": "same/y"},
        "targets": {**net, "input": "one/x", "target": "other/y"},
        "weights": {**net, "input": "one/x", "target": "one/y", "sample_weights": "other/w"},
        "features": {"kind": "extract", "needs": {"fine": "parameters"}, "output": "body", "input": "same/x"},
        "behind": {**net, "needs": {"features": "data"}, "input": "features/values", "target": "other/y"},
    }
    found = refused({"data": {name: str(tmp_path / f"{name}.h5") for name in files}, "tasks": tasks})

    assert [where.rpartition("/")[2] for where, _ in found] == ["other.h5: split", "same.h5: split"]
    assert f"differs from that of {tmp_path}/one.h5" in found[0][1]
    assert f"differs from that of {tmp_path}/other.h5" in found[1][1]

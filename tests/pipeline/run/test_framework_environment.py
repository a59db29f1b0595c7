"""All ranks get the environment variables that the networks of a job need, and added tasks cannot change them."""

from __future__ import annotations

import os

import numpy as np
import own_operators
import pytest

from hpcmtl.communicators.inproc import run_ranks
from hpcmtl.data.hdf5 import write_dataset_file
from hpcmtl.errors import InputError
from hpcmtl.jobfile.load import parse_job
from hpcmtl.pipeline.prepare import prepare
from hpcmtl.pipeline.run.framework_environment import prepare_environments
from hpcmtl.pipeline.run.preflight import refuse_new_environment

NAMES = ("MXNET_MKLDNN_ENABLED", "MXNET_STORAGE_FALLBACK_LOG_VERBOSE")


@pytest.fixture
def prepared(tmp_path, monkeypatch):
    """Returns a job with an operator of a user beside convolutions; oneDNN is on, and lets itself be switched off."""
    monkeypatch.setattr("hpcmtl.training.gluon.onednn._is_on", lambda: False)
    for name in NAMES:
        monkeypatch.setenv(name, "1")
    path = tmp_path / "d.h5"
    arrays = {"images": np.zeros((6, 1, 8, 8), np.float32), "classes": np.arange(6) % 3}
    write_dataset_file(path, arrays, np.zeros(6, int), {"classes": {"classes": ["a", "b", "c"]}})
    model = {"name": f"{own_operators.__name__}:operators"}
    task = {"kind": "train", "input": "d/images", "target": "d/classes", "model": model, "loss": "softmax_ce"}
    head = {"hpcmtl": 1, "job": "operators", "ranks": 2, "data": {"d": str(path)}}
    return prepare(parse_job({**head, "tasks": {"own": {**task, "epochs": 1}}}))


def test_all_ranks_get_it(prepared):
    """The variables are set on every rank, with a reason that names the task; an attempt that follows says no more."""
    said = run_ranks(2, lambda world: prepare_environments(world, prepared))
    again = run_ranks(2, lambda world: prepare_environments(world, prepared))

    assert [text.startswith("own: Python operators race with oneDNN") for text in said] == [True, True]
    assert again == ["", ""]
    assert [os.environ[name] for name in NAMES] == ["0", "0"]


def test_an_added_task_cannot_change_it(prepared):
    """A task that needs it is refused in a running job without it, with both remedies, and accepted in one with it."""
    with pytest.raises(InputError, match="MXNET_MKLDNN_ENABLED=0") as caught:
        refuse_new_environment(prepared)
    refuse_new_environment(prepared)  # the variable is set now, as in a job that was started with it

    assert "start the task as a job of its own" in str(caught.value)

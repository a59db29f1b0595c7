"""A task whose data file changes under its path fails on all ranks, before a checkpoint or an artifact is written."""

from __future__ import annotations

import shutil

import h5py
import numpy as np
import pytest

from hpcmtl.communicators.inproc import RankFailedError
from hpcmtl.data.fingerprint import fingerprints_of, fingerprints_to_json
from hpcmtl.data.hdf5 import write_dataset_file
from hpcmtl.errors import InputError
from hpcmtl.results.rundir.directory import write_json_atomically


@pytest.fixture
def guarded(bench, small_file, tmp_path):
    """Make a bench on a copy of the data, as a run has it that has begun; returns it and the copy."""

    def make(tasks, layers=1):
        copy = tmp_path / "small.h5"
        shutil.copy(small_file, copy)
        made = bench(tasks, layers, data={"small": str(copy)})
        known = fingerprints_to_json(fingerprints_of(made.prepared.files.values()))
        write_json_atomically(made.directory.data_file, known)
        return made, copy

    return make


def rewrite(path):
    """Give the file other labels and another split, as somebody who makes the data anew."""
    with h5py.File(path, locking=False) as file:
        arrays = {name: file[name][()] for name in file if name != "split"}
    arrays["digit"] = (arrays["digit"] + 1) % 3
    write_dataset_file(path, arrays, np.arange(61) % 3, overwrite=True)


@pytest.mark.parametrize("ranks", [1, 2])
def test_data_that_were_replaced_between_two_layers(guarded, task, ranks):
    """The second layer is refused, and its checkpoint is not written."""
    made, copy = guarded({"digit": task(epochs=4)}, layers=2)
    made.run("digit", ranks, [0])
    before = made.checkpoints("digit")
    rewrite(copy)

    with pytest.raises(RankFailedError, match="digit: was int64.*when the run began.*Put the old file back") as error:
        made.run("digit", ranks, [1])
    assert isinstance(error.value.__cause__, InputError)
    assert made.checkpoints("digit") == before


def test_data_that_are_replaced_inside_a_layer(guarded, task):
    """Its steps may have seen both: nothing of the layer is kept."""
    made, copy = guarded({"digit": task(epochs=4)})
    rewritten = []

    def once(_progress):
        if not rewritten:
            rewritten.append(rewrite(copy))

    with pytest.raises(RankFailedError, match="when the run began"):
        made.run("digit", 2, report=once)
    assert made.checkpoints("digit") == []
    assert not made.artifact("digit").exists()


@pytest.mark.parametrize("kind", ["evaluate", "predict", "python"])
def test_other_kinds(guarded, task, kind):
    """A task that applies a network and a python task have their data guarded alike."""
    keys = {"needs": {"digit": "parameters"}} if kind != "python" else {}
    if kind == "python":
        keys = {"callable": "own_tasks:reading", "arguments": {"reference": "small/images"}}
    made, copy = guarded({"digit": task(epochs=1), "other": {"kind": kind, **keys}})
    made.run("digit")
    rewrite(copy)

    with pytest.raises(RankFailedError, match="when the run began"):
        made.run("other", 2)


def test_a_file_that_was_touched_or_copied_is_the_same(guarded, task):
    """Only values count."""
    made, copy = guarded({"digit": task(epochs=2)}, layers=2)
    made.run("digit", 1, [0])
    shutil.copy(copy, copy.with_name("moved.h5"))
    copy.with_name("moved.h5").replace(copy)

    assert made.run("digit", 1, [1])[0].steps > 0

"""Sources of one task whose numbers mean something else are refused before anything is trained."""

from __future__ import annotations

import numpy as np
import pytest

from hpcmtl.data.hdf5 import write_dataset_file
from hpcmtl.errors import InputError
from hpcmtl.jobfile.load import parse_job
from hpcmtl.pipeline.prepare import prepare
from hpcmtl.pipeline.run.preflight import preflight


@pytest.fixture
def check(tmp_path):
    """Make the checks of a task on two files; take the attributes of the second one."""

    def make(attributes):
        own = {"x": {"columns": ["area", "rooms"]}, "y": {"classes": ["no", "yes"]}}
        arrays = {"x": np.ones((12, 2), np.float32), "y": np.arange(12) % 2}
        for name, given in (("left", own), ("right", attributes)):
            write_dataset_file(tmp_path / f"{name}.h5", arrays, np.arange(12) % 3, given)
        sources = {each: {"input": f"{each}/x", "target": f"{each}/y"} for each in ("left", "right")}
        net = {"kind": "train", "model": {"name": "mlp", "outputs": 2}, "loss": "softmax_ce", "epochs": 1}
        data = {each: str(tmp_path / f"{each}.h5") for each in sources}
        job = {"hpcmtl": 1, "job": "meanings", "data": data, "tasks": {"net": {**net, "sources": sources}}}
        preflight(prepare(parse_job(job)), ["net"])

    return make


@pytest.mark.parametrize("attributes", [{}, {"y": {"classes": ["no", "yes"]}}], ids=["none", "same"])
def test_names_that_do_not_contradict(check, attributes):
    """Arrays without names, and with the same ones, go with those of the other file."""
    check(attributes)


@pytest.mark.parametrize(
    ("attributes", "where", "text"),
    [
        ({"y": {"classes": ["yes", "no"]}}, "target", "right/y has 'yes' as class 0, but 'no' is class 0 of left/y"),
        ({"x": {"columns": ["area", "floor"]}}, "input", "right/x has 'floor' as column 1, but 'rooms' is column 1"),
    ],
    ids=["classes", "columns"],
)
def test_other_names_are_refused(check, attributes, where, text):
    """Classes or columns in another order or of other names are refused at the key of the source."""
    with pytest.raises(InputError, match=text) as raised:
        check(attributes)

    assert [each.where for each in raised.value.problems] == [f"job: tasks.net.sources.right.{where}"]

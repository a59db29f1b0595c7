"""The expensive checks find what is wrong with data, callables and networks before any training."""

import pytest

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

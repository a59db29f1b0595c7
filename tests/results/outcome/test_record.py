"""The completion record belongs to the attempt that wrote it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hpcmtl.results.history import AttemptHistory
from hpcmtl.results.outcome.record import record_of
from hpcmtl.results.rundir.directory import RunDirectory


@pytest.mark.parametrize(
    ("record", "number", "found"),
    [
        ({"attempt": 2, "attempt_id": "b"}, 2, True),
        ({"attempt": 1, "attempt_id": "a"}, 2, False),  # of the attempt before
        ({"attempt": 2, "attempt_id": "a"}, 2, False),  # of another start of the same number
        ({}, 2, True),  # of a version that wrote neither
        ({"attempt": 1, "attempt_id": "a"}, 0, True),  # no attempt is known from the ledger
    ],
)
def test_whose_record_it_is(tmp_path: Any, record: dict[str, Any], number: int, found: bool) -> None:
    """A record of another attempt is none of this one."""
    run = RunDirectory(tmp_path)
    run.results_file.write_text(json.dumps({"status": "complete", **record}))

    assert (record_of(run, AttemptHistory(number=number, id="b")) is not None) == found

"""What the dispatcher tells goes into the ledger as it is, and to the display in words."""

import pytest
from events import event

from hpcmtl.pipeline.run.observer import RunObserver
from hpcmtl.results import ledger
from hpcmtl.results.rundir.directory import create
from hpcmtl.results.step_progress import StepProgress

EVENTS = [
    ("layer_started", {"task": "a", "layer": 0, "layers": 2, "first_rank": 1, "ranks": 2}),
    ("layer_late", {"task": "a", "layer": 0, "silent_ranks": [1, 2]}),
    ("rank_failed", {"task": "a", "layer": 0, "rank": 2, "message": "boom"}),
    ("layer_ended", {"task": "a", "layer": 0, "ranks": 2, "seconds": 1.0, "metrics": {}}),
    ("task_ended", {"task": "a", "status": "failed", "message": "boom"}),
    ("task_ended", {"task": "b", "status": "skipped", "message": "needs a, which failed"}),
]


@pytest.mark.parametrize("mode", ["plain", "live", "quiet"])
def test_events(tmp_path, capfd, caplog, mode):
    """Every event is in the ledger, in order; the ends of tasks and late ranks are told to people as well."""
    directory = create(tmp_path, "job")
    with RunObserver(directory, mode, 100) as observer:
        for name, fields in EVENTS:
            observer.record(event(name, **fields))
        observer.progressed(StepProgress("a", 0, 0, 1.0, 10.0, 0.5))
    said = capfd.readouterr()
    written = [(each["event"], each) for each in ledger.read(directory.ledger_file)]

    assert [name for name, _ in written] == [name for name, _ in EVENTS]
    assert all(fields.items() <= found.items() for (_, fields), (_, found) in zip(EVENTS, written, strict=True))
    assert said.out == ""
    assert ("a failed" in said.err) == ("b skipped: needs a, which failed" in said.err) == (mode != "quiet")
    assert "ranks 1, 2" in caplog.text

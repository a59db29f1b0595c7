"""A command that looks at a run again and again sees what a first look would see."""

import json

import pytest
from events import event
from interrupted import interrupted

from hpcmtl.errors import InputError
from hpcmtl.results.ledger import Ledger
from hpcmtl.results.rundir.directory import RunDirectory
from hpcmtl.results.status.progress_reader import ProgressReader
from hpcmtl.results.status.status import read_status


def test_each_look_is_a_first_look(tmp_path):
    """While a run goes on, is resumed, and gets another plan, status values are those of a fresh reading."""
    run = interrupted(tmp_path)
    directory, reader = RunDirectory(run), ProgressReader(RunDirectory(run))
    happened = [
        event("layer_ended", task="net", layer=0, ranks=1, steps=3),
        event("task_ended", task="net", status="complete"),
        event("job_ended", status="stopped", seconds=1.0),
        event("job_started", job="stopped", ranks=2, policy="variable", host="h", attempt=2),
    ]
    for each in happened:
        assert read_status(run, 5.0, reader) == read_status(run, 5.0)
        with Ledger(directory.ledger_file) as ledger:
            ledger.append(each)
    plan = json.loads(directory.plan_file.read_text())
    plan["tasks"] = plan["tasks"][:1]
    directory.plan_file.write_text(json.dumps(plan))

    assert read_status(run, 5.0, reader) == read_status(run, 5.0)
    assert read_status(run, 5.0, reader)["attempt"] == 2


def test_a_second_look_goes_on_from_the_first(tmp_path):
    """The progress is the same object, which takes in what is new: the ledger is not read from its start again."""
    run = interrupted(tmp_path)
    reader = ProgressReader(RunDirectory(run))
    first = reader.read(submitted=False)
    with Ledger(RunDirectory(run).ledger_file) as ledger:
        ledger.append(event("job_ended", status="failed", seconds=1.0))

    assert reader.read(submitted=False) is first
    assert first.state.status == "failed"


def test_a_run_that_is_not_there_yet(tmp_path):
    """A folder without plan and ledger is no run, unless it was submitted; then its plan is found when it comes."""
    run = interrupted(tmp_path)
    directory = RunDirectory(run)
    kept = {path: path.read_bytes() for path in (directory.plan_file, directory.ledger_file)}
    for path in kept:
        path.unlink()
    reader = ProgressReader(directory)
    with pytest.raises(InputError, match="this is no run directory"):
        reader.read(submitted=False)

    assert reader.read(submitted=True).state.tasks == {}

    for path, content in kept.items():
        path.write_bytes(content)

    assert set(reader.read(submitted=True).state.tasks) == {"net", "later"}

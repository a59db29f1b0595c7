"""`hpcmtl status`: what it prints, what it refuses, and that it looks again until the job ends."""

import json
import sys
import threading

import pytest
from events import event
from plans import SMALL_PLAN

from hpcmtl.cli import status as verb
from hpcmtl.cli.app import main
from hpcmtl.results.ledger import Ledger
from hpcmtl.results.outcome.summary import JobResult, TaskResult, from_dict, to_dict
from hpcmtl.results.rundir.directory import create, write_json_atomically

RESULT = JobResult(
    "small", "complete", "2026-01-01T00:00:00+00:00", 9.0, 4, (TaskResult("a", "train", "complete", 2, (4, 2)),)
)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run that has just begun, in the folder `runs` of the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    directory = create(tmp_path / "runs", "small")
    write_json_atomically(directory.plan_file, SMALL_PLAN)
    note(directory, "job_started", job="small", ranks=4, policy="variable")
    return directory


def note(run, name, **fields):
    """Add an event to the ledger."""
    with Ledger(run.ledger_file) as ledger:
        ledger.append(event(name, **fields))


def end(run):
    """Let the job end."""
    write_json_atomically(run.results_file, to_dict(RESULT))
    note(run, "job_ended", status="complete", seconds=9.0)


def said(monkeypatch, capsys, *words):
    """Exit code and output of the command."""
    monkeypatch.setattr(sys, "argv", ["hpcmtl", "status", *map(str, words)])
    with pytest.raises(SystemExit) as left:
        main()
    captured = capsys.readouterr()
    return left.value.code or 0, captured.out, captured.err


@pytest.mark.parametrize("words", [[], ["latest"], ["small"]])
def test_a_run_that_goes_on(run, monkeypatch, capsys, words):
    """By name or as the latest, it is shown with its tasks."""
    code, out, _ = said(monkeypatch, capsys, *words)

    assert code == 0
    assert "small: running, 0 of 2 tasks complete, 4 ranks" in out


def test_json(run, monkeypatch, capsys):
    """Machines get all of it."""
    code, out, _ = said(monkeypatch, capsys, run.path, "--json")
    found = json.loads(out)

    assert code == 0
    assert (found["status"], found["silent"], set(found["tasks"])) == ("running", False, {"a", "b"})


def test_an_ended_run(run, monkeypatch, capsys):
    """Its end is what the run itself printed; without the results it is where everything stood."""
    end(run)
    _, with_results, _ = said(monkeypatch, capsys)
    run.results_file.unlink()
    _, without, _ = said(monkeypatch, capsys)

    assert "small: complete, 1 of 1 task complete, 4 ranks, 9.0 s" in with_results
    assert "small: complete, 0 of 2 tasks complete" in without
    assert "ended 20" in with_results
    assert "ended 20" in without


def test_watching_ends_with_the_job(run, monkeypatch, capsys):
    """It looks again until the job has ended, and then shows the end."""
    monkeypatch.setattr(verb, "SECONDS_BETWEEN_LOOKS", 0.05)
    ending = threading.Timer(0.3, end, [run])
    ending.start()
    code, out, _ = said(monkeypatch, capsys, "--watch")
    ending.join()

    assert code == 0
    assert "small: complete, 1 of 1 task complete" in out


def test_what_is_no_run(run, tmp_path, monkeypatch, capsys):
    """A directory that is no run, a name that is none, and options that do not go together are refused with 2."""
    refused = [said(monkeypatch, capsys, *words) for words in ([tmp_path], ["large"], ["--watch", "--json"])]

    assert [code for code, _, _ in refused] == [2, 2, 2]
    assert "this is no run directory" in refused[0][2]
    assert "no run of that name in runs" in refused[1][2]


def test_results_survive_their_file():
    """`results.json` is read back as the result."""
    assert from_dict(json.loads(json.dumps(to_dict(RESULT)))) == RESULT

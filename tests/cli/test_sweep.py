"""`status`, `wait` and `cancel` of a whole sweep: one query of Slurm, one exit code, all points."""

import json
import sys
import threading

import pytest
import yaml
from events import event
from fake_slurm import FakeSlurm
from plans import SMALL_PLAN

from hpcmtl.cli import status as status_verb
from hpcmtl.cli.app import main
from hpcmtl.results.ledger import Ledger
from hpcmtl.results.outcome.summary import JobResult, TaskResult, to_dict
from hpcmtl.results.rundir.directory import RunDirectory, create_sweep, write_json_atomically
from hpcmtl.results.rundir.requests import Answer, give_answer, take

NAMES = ("000", "001", "002")


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """A PATH of fakes."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return FakeSlurm(tmp_path / "bin")


@pytest.fixture
def sweep(tmp_path, monkeypatch, slurm):
    """Three runs that were submitted as the array 16: its directory and theirs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(status_verb, "SECONDS_BETWEEN_LOOKS", 0.05)
    directory, runs = create_sweep(tmp_path / "runs", "small", NAMES)
    record = {"kind": "array", "script": str(directory / "array.sbatch"), "jobs": ["16"], "job": "16"}
    write_json_atomically(directory / "submission.json", {**record, "points": {name: {} for name in NAMES}})
    for index, run in enumerate(runs):
        run.job_file.write_text(yaml.safe_dump({"tasks": {"a": {"kind": "train"}}}))
        own = {"job": f"16_{index}", "arguments": ["0"], "array_index": index}
        write_json_atomically(run.submission_file, {**record, **own})
    return directory, runs


def test_runs_are_compared_once_and_told_apart(sweep, tmp_path, monkeypatch, capsys):
    """A point that is named beside its sweep counts once, and runs of one name in two folders are both there."""
    _, runs = sweep
    other, _ = create_sweep(tmp_path / "other", "small", NAMES)
    for run in (*runs, RunDirectory(other / NAMES[0])):
        run.job_file.write_text(yaml.safe_dump({"tasks": {"a": {"kind": "train"}}}))
        begin(run)
    points = [str(run.path) for run in (runs[0], runs[0], RunDirectory(other / NAMES[0]))]
    monkeypatch.setattr(sys, "argv", ["hpcmtl", "compare", *points, "--json"])
    with pytest.raises(SystemExit):
        main()

    assert [row["names"] for row in json.loads(capsys.readouterr().out)["rows"]] == [[points[0]], [points[2]]]


@pytest.mark.parametrize("file", ["nowhere/table.csv", "runs"])
def test_a_table_needs_a_folder(sweep, monkeypatch, capsys, file):
    """A table that cannot be written is refused in words."""
    monkeypatch.setattr(sys, "argv", ["hpcmtl", "compare", str(sweep[0]), "--csv", file])
    with pytest.raises(SystemExit) as ended:
        main()

    assert ended.value.code == 2
    assert "name a file in a folder that exists" in capsys.readouterr().err


def begin(run):
    """Let an attempt of a point begin."""
    write_json_atomically(run.plan_file, SMALL_PLAN)
    with Ledger(run.ledger_file) as ledger:
        ledger.append(event("job_started", job="small", ranks=4, policy="variable", attempt=1, attempt_id="16.1"))


def end(run, status):
    """Let it end with its record."""
    result = JobResult("small", status, "2026-01-01T00:00:00+00:00", 9.0, 4, (TaskResult("a", "train", status),))
    write_json_atomically(run.results_file, {**to_dict(result), "attempt": 1, "attempt_id": "16.1"})
    with Ledger(run.ledger_file) as ledger:
        ledger.append(event("job_ended", status=status, seconds=9.0))


@pytest.fixture
def hpcmtl(capsys, monkeypatch):
    """Run the command: exit code and output."""

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["hpcmtl", *map(str, words)])
        with pytest.raises(SystemExit) as left:
            main()
        captured = capsys.readouterr()
        return left.value.code or 0, captured.out, captured.err

    return call


def test_status(sweep, slurm, hpcmtl):
    """All points are shown, by directory, name or array, and Slurm is asked once for all."""
    directory, runs = sweep
    slurm.replies("squeue", "16_1|16|PENDING|N/A||Resources\n16_2|18|PENDING|N/A||Priority\n")
    begin(runs[0])
    shown = [hpcmtl("status", word) for word in (directory, directory.name, "16")]
    found = json.loads(hpcmtl("status", directory, "--json")[1])

    assert [code for code, _, _ in shown] == [0] * 3
    assert all("1 running, 2 waiting of 3 runs" in out for _, out, _ in shown)
    assert "job 16_2 is PENDING (Priority)" in shown[0][1]
    assert [point["state"] for point in found["points"].values()] == ["running", "waiting", "waiting"]
    assert (found["over"], found["exit_code"]) == (False, None)
    assert [call for call in slurm.calls("squeue") if "%o" not in call] == [
        "-h -r -t all -j 16_1,16_2 -o %i|%A|%T|%S|%N|%r"
    ]


@pytest.mark.parametrize(
    ("ends", "code"),
    [
        (("complete", "complete", "complete"), 0),
        (("complete", "stopped", "complete"), 75),
        (("stopped", "failed", "complete"), 1),
    ],
)
def test_one_exit_code(sweep, slurm, hpcmtl, ends, code):
    """`wait` ends with the last point; a failed point counts more than a stopped one."""
    directory, runs = sweep
    slurm.replies("squeue", "")
    slurm.replies("scontrol", err="slurm_load_jobs error: Invalid job id specified\n", code=1)
    slurm.replies("sacct", "".join(f"16_{index}|{index}|FAILED|75:0|T|n1|None\n" for index in range(3)))
    for run, how in zip(runs[:2], ends[:2], strict=True):
        begin(run)
        end(run, how)
    begin(runs[2])
    early = hpcmtl("wait", "16", "--timeout", "0.1")
    later = threading.Timer(0.3, end, [runs[2], ends[2]])
    later.start()
    waited = hpcmtl("wait", directory)
    later.join()

    assert (early[0], "1 running" in early[2]) == (124, True)
    assert waited[0] == code, waited
    assert "of 3 runs" in waited[1]


def test_cancel(sweep, slurm, hpcmtl):
    """Runs in the queue are taken out by one call, running ones are asked, and ended ones are left alone."""
    directory, runs = sweep
    slurm.replies("squeue", "16_2|16|PENDING|N/A||Resources\n")
    slurm.replies("scancel")
    begin(runs[0])
    end(runs[0], "complete")
    begin(runs[1])
    asked = threading.Event()

    def serve():
        while not asked.is_set():
            for request in take(runs[1].requests):
                give_answer(runs[1].requests, request.id, Answer(True, "it stops"))
                asked.set()

    server = threading.Thread(target=serve)
    server.start()
    code, out, _ = hpcmtl("cancel", directory)
    server.join()
    at_once = hpcmtl("cancel", "16", "--now", "--json")

    assert (code, out) == (0, "cancel 001: it stops\ncancel 002: Slurm takes its job out of its queue\n")
    assert slurm.calls("scancel") == ["--state=PENDING 16_1 16_2", "16_1 16_2"]
    assert json.loads(at_once[1])["points"] == dict.fromkeys(NAMES[1:], "Slurm ends its job now")


def test_the_one_job_of_a_benchmark(sweep, slurm, hpcmtl):
    """Its script is told to stop, because it would go on with the next run."""
    directory, runs = sweep
    record = json.loads((directory / "submission.json").read_text())
    write_json_atomically(directory / "submission.json", {**record, "kind": "benchmark"})
    for run in runs:
        write_json_atomically(run.submission_file, {"job": "16"})
    slurm.replies("squeue", "16|16|RUNNING|T|n1|None\n")
    slurm.replies("scancel")
    begin(runs[0])

    assert hpcmtl("cancel", directory)[0] == 0
    assert slurm.calls("scancel") == ["--state=PENDING 16", "--state=RUNNING --batch --signal=USR1 16"]


def test_what_is_for_one_run(sweep, slurm, hpcmtl):
    """Commands for one run name the points of a sweep; a sweep that has ended cannot be cancelled."""
    directory, runs = sweep
    slurm.replies("squeue", "")
    for run in runs:
        begin(run)
        end(run, "complete")
    refused = hpcmtl("logs", directory)

    assert (refused[0], "this is a sweep of 3 runs: name one of them, such as" in refused[2]) == (2, True)
    assert hpcmtl("cancel", directory)[0] == 3
    assert hpcmtl("logs", directory / "001")[0] == 0

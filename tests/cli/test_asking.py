"""`status`, `wait`, `logs` and `cancel` of runs in a batch system: exit codes, JSON, and what Slurm is told."""

import json
import sys
import threading
from datetime import datetime, timezone

import pytest
import yaml
from events import event
from fake_slurm import FakeSlurm
from plans import SMALL_PLAN

from hpcmtl.cli import logs as logs_verb
from hpcmtl.cli import status as status_verb
from hpcmtl.cli.app import main
from hpcmtl.results.ledger import Ledger
from hpcmtl.results.outcome.summary import JobResult, TaskResult, to_dict
from hpcmtl.results.rundir.directory import create, write_json_atomically
from hpcmtl.results.rundir.requests import Answer, give_answer, take

LINE = "2026-11-21 10:15:01,000 INFO    rank=0 layer=a/0 hpcmtl.x: hello\n"


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """A PATH of fakes."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return FakeSlurm(tmp_path / "bin")


@pytest.fixture
def run(tmp_path, monkeypatch, slurm):
    """A run that was submitted as job 16."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(status_verb, "SECONDS_BETWEEN_LOOKS", 0.05)
    monkeypatch.setattr(logs_verb, "SECONDS_BETWEEN_DIAGNOSES", 0.2)
    directory = create(tmp_path / "runs", "small")
    directory.job_file.write_text(yaml.safe_dump({"tasks": {"a": {"kind": "train"}, "b": {"kind": "train"}}}))
    submitted = datetime.now(timezone.utc).isoformat()
    write_json_atomically(directory.submission_file, {"job_ids": ["16"], "submitted": submitted, "cluster": ""})
    return directory


def begin(run, attempt=1, seconds_ago=0.0):
    """Let an attempt begin, so long ago."""
    write_json_atomically(run.plan_file, SMALL_PLAN)
    at = datetime.fromtimestamp(datetime.now(timezone.utc).timestamp() - seconds_ago, timezone.utc)
    with Ledger(run.ledger_file, lambda: at) as ledger:
        ledger.append(
            event("job_started", job="small", ranks=4, policy="variable", attempt=attempt, attempt_id=f"16.{attempt}")
        )


def age_by(run, seconds):
    """Let the last query of Slurm be older."""
    kept = json.loads(run.queue_file.read_text())
    write_json_atomically(run.queue_file, {**kept, "asked": kept["asked"] - seconds})


def end(run, status="complete", attempt=1):
    """Let it end with its record."""
    result = JobResult("small", status, "2026-01-01T00:00:00+00:00", 9.0, 4, (TaskResult("a", "train", "complete"),))
    record = {**to_dict(result), "attempt": attempt, "attempt_id": f"16.{attempt}"}
    write_json_atomically(run.results_file, record)
    with Ledger(run.ledger_file) as ledger:
        ledger.append(event("job_ended", status=status, seconds=9.0))


def said(capsys, monkeypatch, *words):
    """Exit code and output of the command."""
    monkeypatch.setattr(sys, "argv", ["hpcmtl", *map(str, words)])
    with pytest.raises(SystemExit) as left:
        main()
    captured = capsys.readouterr()
    return left.value.code or 0, captured.out, captured.err


@pytest.fixture
def hpcmtl(capsys, monkeypatch):
    """Run the command."""
    return lambda *words: said(capsys, monkeypatch, *words)


def test_a_job_in_the_queue(run, slurm, hpcmtl):
    """A run directory with a submission and no ledger waits, for the reason that Slurm gives; the newest is meant."""
    slurm.replies("squeue", "16|16|PENDING|N/A||Resources\n")
    code, out, _ = hpcmtl("status")
    _, data, _ = hpcmtl("status", "--json")
    found = json.loads(data)

    assert code == 0
    assert "small-" in out.splitlines()[0]
    assert ": waiting, 0 of 0 tasks complete" in out.splitlines()[0]
    assert out.splitlines()[1] == "waiting in the queue: job 16 is PENDING (Resources)"
    assert (found["state"], found["over"], found["exit_code"]) == ("waiting", False, None)
    assert found["slurm"]["words"][0]["phase"] == "pending"
    assert len(slurm.calls("squeue")) == 1


def test_a_run_that_goes_on_is_not_asked_for(run, slurm, hpcmtl):
    """While it is heard of, its directory is enough."""
    slurm.replies("squeue", "16|16|RUNNING|||None\n")
    begin(run)
    _, out, _ = hpcmtl("status")

    assert "small: running, 0 of 2 tasks complete" in out
    assert slurm.calls("squeue") == []


@pytest.mark.slow
def test_a_run_that_died(run, slurm, hpcmtl):
    """Silence and Slurm's end make a death with a hint, and `wait` says 1."""
    slurm.replies("squeue", err="slurm_load_jobs error: Invalid job id specified\n", code=1)
    slurm.replies("scontrol", "JobId=16 JobName=x JobState=OUT_OF_MEMORY Reason=OutOfMemory Dependency=(null) \n")
    begin(run, seconds_ago=100.0)
    _, out, _ = hpcmtl("status")
    code, waited, _ = hpcmtl("wait")

    assert "small: died, 0 of 2 tasks complete" in out
    assert "job 16 ended (OUT_OF_MEMORY) without a completion record; a node ran out of the memory" in out
    assert (code, waited.startswith("small: died: ")) == (1, True)


def test_an_old_record_is_no_word_on_a_new_attempt(run, slurm, hpcmtl):
    """While attempt 2 runs the record of attempt 1 does not end anything; its own does."""
    begin(run)
    end(run, "stopped")
    begin(run, attempt=2)
    _, running, _ = hpcmtl("status")
    timed_out = hpcmtl("wait", "--timeout", "0.1")
    end(run, attempt=2)
    code, waited, _ = hpcmtl("wait", "--json")

    assert "small: running" in running
    assert (timed_out[0], timed_out[2]) == (124, "hpcmtl: attempt 2 running\n")
    assert (code, json.loads(waited)["exit_code"]) == (0, 0)


def test_waiting_over_a_requeue(run, slurm, hpcmtl):
    """A stopped attempt whose job is in the queue again is not the end; the end of the next is, with its exit code."""
    slurm.replies("squeue", "16|16|PENDING|N/A||BeginTime\n")
    begin(run)
    end(run, "stopped")

    def go_on():
        begin(run, attempt=2)
        end(run, "failed", attempt=2)

    later = threading.Timer(0.5, go_on)
    later.start()
    code, out, err = hpcmtl("wait", run.path)
    later.join()

    assert code == 1
    assert out == "small: attempt 2 ended: failed\n"
    assert err.startswith("hpcmtl: requeued: stopped with checkpoints; job 16 is PENDING (BeginTime)")
    assert len(slurm.calls("squeue")) == 1


def test_waiting_for_a_job_that_a_user_submitted(run, slurm, hpcmtl):
    """After `scancel` and `sbatch` by hand the new job is waited for, though Slurm was asked before it was there."""
    script = str(run.path / "job.sbatch")
    write_json_atomically(run.submission_file, {"job": "16", "script": script})
    ended = "16|16|CANCELLED|T|n1|None"
    slurm.replies("scontrol")
    slurm.replies("squeue", f"{ended}\n")
    begin(run)
    end(run, "stopped")
    before = hpcmtl("status")[1]
    slurm.runs(
        "squeue", f'case "$*" in *%o*) echo "17|17|PENDING|N/A||Resources|{script}" ;; *) echo "{ended}" ;; esac'
    )
    age_by(run, 40.0)

    def go_on():
        begin(run, attempt=2)
        end(run, attempt=2)

    later = threading.Timer(0.5, go_on)
    later.start()
    code, _, err = hpcmtl("wait", run.path)
    later.join()

    assert "stopped with checkpoints" in before
    assert "requeued: attempt 1 ended: stopped; job 17 is PENDING (Resources)" in err
    assert code == 0


def test_a_reply_from_before_is_no_end(run, slurm, hpcmtl):
    """Where Slurm was asked before the command began, a stopped run may have a new job: `wait` asks again."""
    write_json_atomically(run.submission_file, {"job": "16", "script": str(run.path / "job.sbatch")})
    slurm.replies("squeue", "16|16|CANCELLED|T|n1|None\n")
    slurm.replies("scontrol")
    begin(run)
    end(run, "stopped")
    hpcmtl("status")
    early = hpcmtl("wait", "--timeout", "0.2")[0]
    later = threading.Timer(0.5, age_by, [run, 40.0])
    later.start()
    asked_again = hpcmtl("wait")[0]
    later.join()

    assert (early, asked_again) == (124, 75)


def test_a_stopped_run_of_no_batch_job(run, hpcmtl):
    """It is over, and `wait` says 75."""
    run.submission_file.unlink()
    begin(run)
    end(run, "stopped")

    assert hpcmtl("wait")[0] == 75


def test_logs(run, hpcmtl):
    """The batch output, a rank's log, a task's lines, as text and as JSON; what is not there is refused."""
    begin(run)
    run.rank_log(0).write_text(LINE)
    by_default = hpcmtl("logs")
    (run.logs / "16.out").write_text("one\ntwo\n")

    assert by_default[:2] == (0, LINE)
    assert hpcmtl("logs", "--tail", "1")[:2] == (0, "two\n")
    assert hpcmtl("logs", run.path, "--rank", "0")[1] == LINE
    found = json.loads(hpcmtl("logs", "--task", "a", "--json")[1])
    assert (found["rank"], found["task"], found["layer"], found["message"]) == (0, "a", 0, "hello")
    assert hpcmtl("logs", "--task", "b")[:2] == (0, "")
    refused = hpcmtl("logs", "--task", "x")
    assert (refused[0], "there is no such task" in refused[2]) == (2, True)
    assert hpcmtl("logs", "--rank", "9")[0] == 2


def test_lines_of_level_debug_are_left_out(run, hpcmtl):
    """They come with `--verbose`, and where one rank or one task is asked for; a traceback goes with its line."""
    begin(run)
    debug = LINE.replace("INFO ", "DEBUG") + "  more of it\n"
    run.rank_log(0).write_text(debug + LINE + "Traceback\n")

    assert hpcmtl("logs")[1] == hpcmtl("logs", "--tail", "2")[1] == LINE + "Traceback\n"
    for words in (("--verbose",), ("--rank", "0"), ("--task", "a")):
        assert hpcmtl("logs", *words)[1] == debug + LINE + "Traceback\n"


def test_logs_that_are_followed(run, slurm, hpcmtl):
    """They go on over a requeue, into the output of the successor, and end with the run, its last words included."""
    slurm.replies("squeue", "16|16|PENDING|N/A||BeginTime\n")
    begin(run)
    end(run, "stopped")
    (run.logs / "16.out").write_text("first\n")

    def go_on():
        begin(run, attempt=2)
        (run.logs / "17.out").write_text("second\nlast")
        end(run, attempt=2)

    later = threading.Timer(0.5, go_on)
    later.start()
    code, out, _ = hpcmtl("logs", "--follow")
    later.join()

    assert (code, out) == (0, "first\nsecond\nlast\n")


def test_cancelling_in_the_queue(run, slurm, hpcmtl):
    """A job that waits is taken out of the queue, and only if it still waits."""
    slurm.replies("squeue", "16|16|PENDING|N/A||Resources\n")
    slurm.replies("scancel")
    code, out, _ = hpcmtl("cancel", run.path, "--json")
    done = json.loads(out)

    assert (code, done["how"], done["jobs"]) == (0, "scancel", ["16"])
    assert slurm.calls("scancel") == ["--state=PENDING 16"]
    assert list(run.requests.iterdir()) == []


def test_cancelling_while_it_runs(run, slurm, hpcmtl):
    """A running job is asked through its directory; `--now` lets Slurm end it; one task alone is as before."""
    slurm.replies("scancel")
    begin(run)
    asked = []

    def serve():
        while len(asked) < 2:
            for request in take(run.requests):
                asked.append((request.verb, request.task))
                give_answer(run.requests, request.id, Answer(True, "it stops"))

    server = threading.Thread(target=serve)
    server.start()
    whole, task = hpcmtl("cancel", run.path), hpcmtl("cancel", run.path, "a")
    left = json.loads(hpcmtl("cancel", run.path, "b", "--no-wait", "--json")[1])
    server.join()
    now = hpcmtl("cancel", run.path, "--now")

    assert whole[:2] == (0, "cancel: it stops\n")
    assert (left["task"], left["accepted"]) == ("b", None)
    assert task[:2] == (0, "cancel a: accepted: it stops\n")
    assert asked == [("cancel", ""), ("cancel", "a")]
    assert (now[0], slurm.calls("scancel")) == (0, ["16"])


def test_what_cannot_be_cancelled(run, slurm, hpcmtl):
    """An ended run, a run without a batch job, a Slurm that refuses and one that is silent have their exit codes."""
    slurm.replies("squeue", "16|16|PENDING|N/A||Resources\n")
    slurm.replies("scancel", err="scancel: error: Access denied\n", code=1)
    denied = hpcmtl("cancel", run.path)
    begin(run, seconds_ago=1.0)
    silent = hpcmtl("cancel", run.path, "--timeout", "0.2")
    run.submission_file.unlink()
    no_job = hpcmtl("cancel", run.path, "--now")
    end(run)
    over = hpcmtl("cancel", run.path)

    assert (denied[0], "Access denied" in denied[2]) == (3, True)
    assert (silent[0], "--now lets Slurm end its batch job" in silent[2]) == (3, True)
    assert (no_job[0], "it has no batch job" in no_job[2]) == (2, True)
    assert (over[0], "the run has ended (complete)" in over[2]) == (3, True)

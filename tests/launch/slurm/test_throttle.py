"""Slurm is asked about a run at most every 30 s, whoever asks, and what it said is kept meanwhile."""

import json
import shutil

import pytest
from fake_slurm import FakeSlurm

from hpcmtl.launch.slurm import throttle
from hpcmtl.launch.slurm.throttle import JITTER, SECONDS_BETWEEN_QUERIES, query_throttled
from hpcmtl.results.rundir.directory import create
from hpcmtl.results.rundir.submission import Submission, read_submission

ONE = Submission(("16",))
NOW = 1_700_000_000.0
LONGEST = SECONDS_BETWEEN_QUERIES + JITTER


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """A PATH of fakes."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    fake = FakeSlurm(tmp_path / "bin")
    fake.replies("squeue", "16|16|PENDING|N/A||Resources\n")
    return fake


@pytest.fixture
def run(tmp_path):
    """An empty run directory."""
    return create(tmp_path / "runs", "small")


def test_questions_are_kept_apart(run, slurm):
    """Looks every second for five minutes ask at most ten times, and not in step; each has the last reply's age."""
    ages = [query_throttled(run, ONE, NOW + second).age for second in range(300)]

    assert 300 / LONGEST <= len(slurm.calls("squeue")) <= 300 / SECONDS_BETWEEN_QUERIES
    assert max(ages) <= LONGEST
    assert query_throttled(run, ONE, NOW + 300).combined.state == "PENDING"


def test_silence_is_not_asked_again_either(run, slurm):
    """A command that fails is not asked more often than one that answers, and what was said before goes."""
    slurm.replies("squeue", err="Unable to contact slurm controller\n", code=1)
    answers = [query_throttled(run, ONE, NOW + second) for second in range(20)]

    assert len(slurm.calls("squeue")) == 1
    assert {(reply.answered, reply.combined.phase) for reply in answers} == {(False, "unknown")}
    assert "Unable to contact" in answers[-1].problems[0]


def test_a_run_of_somebody_else(run, slurm, monkeypatch):
    """Where nothing can be written the bound holds within the process."""

    def refuse(path, value):
        raise PermissionError(path)

    monkeypatch.setattr(throttle, "write_json_atomically", refuse)
    for second in range(20):
        query_throttled(run, ONE, NOW + second)

    assert len(slurm.calls("squeue")) == 1
    assert not run.queue_file.exists()


def test_a_host_without_slurm(run, slurm, monkeypatch, tmp_path):
    """It says so and writes nothing; what another host was told is passed on with its age."""
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    without = query_throttled(run, ONE, NOW)
    kept = run.queue_file.exists()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    query_throttled(run, ONE, NOW)
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    later = query_throttled(run, ONE, NOW + 1000)

    assert (without.combined, without.answered, kept) == (None, False, False)
    assert (later.combined.state, later.age) == ("PENDING", 1000)


@pytest.mark.parametrize("text", ["", "[]", '{"asked": "x"}', '{"asked": 1e12, "pause": 30}', "{"])
def test_what_is_kept_may_be_damaged(run, slurm, text):
    """A file that cannot be read, or is of the far future, is as none."""
    run.queue_file.write_text(text)

    assert query_throttled(run, ONE, NOW).combined.state == "PENDING"
    assert json.loads(run.queue_file.read_text())["asked"] == NOW


def test_a_successor_is_not_known_at_once(run, slurm):
    """A job that was added since the last question is unknown until the next."""
    query_throttled(run, ONE, NOW)
    words = query_throttled(run, Submission(("16", "17")), NOW + 1).states

    assert [(word.job, word.phase) for word in words] == [("16", "pending"), ("17", "unknown")]
    assert len(slurm.calls("squeue")) == 1


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"job_ids": ["16", 17, "16"], "submitted": "T", "cluster": ""}', Submission(("16", "17"), "T")),
        ('{"job_ids": ["16_3", "; rm -rf x", "--all", "-u me"], "cluster": "-u"}', Submission(("16_3",))),
        ('{"job": "16_3", "submitted": "T"}', Submission(("16_3",), "T")),
        ('{"job": null}', Submission()),
        ('{"job_ids": 3}', Submission()),
        ("{", Submission()),
        ("[]", Submission()),
    ],
)
def test_submissions(run, text, found):
    """Only what is a job ID reaches a command line; a damaged file has none."""
    run.submission_file.write_text(text)

    assert read_submission(run) == found


def test_successors_are_jobs_of_the_run(run):
    """A successor that the batch script noted counts; a damaged note does not."""
    run.submission_file.write_text('{"job_ids": ["16"]}')
    notes = run.path / "attempts.jsonl"
    notes.write_text('{"event": "x", "successor": ""}\n{"event": "x", "successor": "17"}\n')
    found = read_submission(run)
    notes.write_text("[]\n{")

    assert (found.job_ids, read_submission(run).job_ids) == (("16", "17"), ("16",))


def test_jobs_of_a_user_are_jobs_of_the_run(run):
    """A job that a user submitted with sbatch counts as soon as its script has concluded an attempt."""
    run.submission_file.write_text('{"job_ids": ["16"], "script": "/a/job.sbatch", "array_index": 3}')
    (run.path / "attempts.jsonl").write_text('{"event": "x", "job": "18", "successor": ""}\n')

    assert read_submission(run) == Submission(("16", "18"), script="/a/job.sbatch", index=3)


def test_no_submission(run):
    """A run that was not submitted has none."""
    assert read_submission(run) is None
    shutil.rmtree(run.path)
    assert read_submission(run) is None

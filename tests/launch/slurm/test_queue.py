"""Slurm's commands are asked in turn, each may be missing, slow or wrong, and none is believed more than it says."""

import time

import pytest
from fake_slurm import FakeSlurm
from hypothesis import given
from hypothesis import strategies as st

from hpcmtl.errors import EnvironmentUnfitError
from hpcmtl.launch.slurm.queue import _of_sacct, _of_scontrol, _of_squeue, cancel_jobs, query_slurm
from hpcmtl.launch.slurm.states import STATES
from hpcmtl.results.rundir.submission import Submission

ONE = Submission(("16",), "2026-11-21T10:15:00+00:00")
SCONTROL = (
    "JobId={job} JobName=small UserId=me(1000) GroupId=me(1000) MCS_label=N/A Priority=1 Nice=0 QOS=normal "
    "JobState={state} Reason={reason} Dependency=(null) Requeue=1 Restarts=0 BatchFlag=1 Reboot=0 ExitCode=0:125 "
    "RunTime=00:01:00 SubmitTime=2026-11-21T10:15:00 StartTime=2026-11-21T10:20:00 EndTime=2026-11-21T10:21:00 "
    "NodeList=n[1-2] BatchHost=n1 Command=/home/me/job.sbatch\n"
)
FORGOTTEN = "slurm_load_jobs error: Invalid job id specified\n"
NO_ACCOUNTING = "Slurm accounting storage is disabled\n"


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """A PATH with fakes, which has the system's own commands, but no real Slurm before them."""
    fake = FakeSlurm(tmp_path / "bin")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    for command in ("squeue", "scontrol", "sacct", "scancel"):  # in case a real one is there
        fake.replies(command, err="not set by the test", code=1)
    return fake


def test_squeue_is_enough(slurm):
    """A job that squeue knows is looked up nowhere else; all jobs are told of at once, in its own words."""
    slurm.replies("squeue", "16|16|RUNNING|2026-11-21T10:20:00|n[1-2]|None\n17|17|PENDING|N/A||Resources\n")
    reply = query_slurm(Submission(("16", "17")))
    first, second = reply.states

    assert (first.phase, first.nodes, first.start, first.reason) == ("running", "n[1-2]", "2026-11-21T10:20:00", "")
    assert (second.phase, second.start, second.reason) == ("pending", "", "Resources")
    assert reply.combined == first
    assert (reply.answered, reply.problems) == (True, ())
    assert [len(slurm.calls(command)) for command in ("squeue", "scontrol", "sacct")] == [1, 0, 0]
    assert "-j 16,17" in slurm.calls("squeue")[0]


def test_a_job_that_a_user_submitted(slurm, tmp_path):
    """Jobs with the script, the arguments and the index of the run are found by them, and no others."""
    script = tmp_path / "my runs" / "job.sbatch"
    script.parent.mkdir()
    script.write_text("#!/bin/bash\n#SBATCH --job-name=small\n")
    (tmp_path / "link").symlink_to(script.parent)
    lines = [
        "16_3|16|CANCELLED|T|n1|None",
        f"17_3|17|PENDING|N/A||Resources|{tmp_path}/link/./job.sbatch 9",
        f"17_4|17|PENDING|N/A||Resources|{tmp_path}/link/./job.sbatch 9",
        f"18_3|18|PENDING|N/A||Resources|{script} 0",
        "19_3|19|PENDING|N/A||Resources|/elsewhere/job.sbatch 9",
    ]
    (tmp_path / "lines").write_text("\n".join(lines) + "\n")
    slurm.runs("squeue", f'case "$*" in *%o*) sed 1d {tmp_path}/lines ;; *) sed -n 1p {tmp_path}/lines ;; esac')
    reply = query_slurm(Submission(("16_3",), script=str(script), arguments=("9",), index=3))

    assert [(state.job, state.phase) for state in reply.states] == [("16_3", "ended-cancelled"), ("17_3", "pending")]
    assert reply.combined.job == "17_3"
    assert "-n small" in slurm.calls("squeue")[1]


def test_the_cluster_and_the_environment(slurm, monkeypatch):
    """The cluster is named to each command, and filters in a user's environment do not reach them."""
    monkeypatch.setenv("SQUEUE_STATES", "PENDING")
    slurm.runs("squeue", 'test -z "$SQUEUE_STATES" && echo "CLUSTER: big" && echo "16|16|RUNNING||n1|None"')
    reply = query_slurm(Submission(("16",), cluster="big"))

    assert reply.combined.state == "RUNNING"
    assert slurm.calls("squeue")[0].startswith("-M big ")


def test_scontrol_knows_what_squeue_does_not(slurm):
    """A job that squeue has dropped is asked of scontrol, which tells its exit code."""
    slurm.replies("squeue", err=FORGOTTEN, code=1)
    slurm.replies("scontrol", SCONTROL.format(job="16", state="OUT_OF_MEMORY", reason="OutOfMemory"))
    word = query_slurm(ONE).combined

    assert (word.source, word.phase, word.exit_code, word.nodes) == ("scontrol", "ended-memory", "0:125", "n[1-2]")
    assert (word.reason, "memory" in word.hint) == ("OutOfMemory", True)


def test_the_exit_code_of_an_ended_job(slurm):
    """Squeue does not tell it, so that scontrol is asked; if it does not reply, squeue's word stands."""
    slurm.replies("squeue", "16|16|FAILED|T|n1|NonZeroExitCode\n")
    without = query_slurm(ONE).combined
    slurm.replies("scontrol", SCONTROL.format(job="16", state="FAILED", reason="NonZeroExitCode"))
    told = query_slurm(ONE).combined

    assert (without.source, without.phase, without.exit_code) == ("squeue", "ended-failed", "")
    assert (told.source, told.phase, told.exit_code) == ("scontrol", "ended-failed", "0:125")
    assert slurm.calls("sacct") == []


def test_sacct_knows_what_both_have_forgotten(slurm):
    """After MinJobAge only the accounting knows, from a window that begins before the submission."""
    slurm.replies("squeue", err=FORGOTTEN, code=1)
    slurm.replies("scontrol", err=FORGOTTEN, code=1)
    slurm.replies("sacct", "16|16|CANCELLED by 123|0:15|2026-11-21T10:20:00|n1|None\n")
    reply = query_slurm(ONE)

    assert (reply.combined.source, reply.combined.phase, reply.combined.by) == ("sacct", "ended-cancelled", "123")
    assert reply.answered
    assert "-S 2026-11-20T" in slurm.calls("sacct")[0]


def test_accounting_that_is_off(slurm):
    """It is a problem that is told, not a word on the job; squeue's reply that it has forgotten it stands."""
    slurm.replies("squeue", err=FORGOTTEN, code=1)
    slurm.replies("scontrol", err=FORGOTTEN, code=1)
    slurm.replies("sacct", err=NO_ACCOUNTING, code=1)
    reply = query_slurm(ONE)

    assert (reply.combined.phase, reply.combined.state, reply.answered) == ("unknown", "", True)
    assert reply.problems == ("sacct: exit code 1: Slurm accounting storage is disabled",)


def test_missing_commands(tmp_path, monkeypatch):
    """Without any command nothing is known, and that is not an reply."""
    monkeypatch.setenv("PATH", str(tmp_path))
    reply = query_slurm(ONE)

    assert (reply.combined.phase, reply.answered, len(reply.problems)) == ("unknown", False, 3)


def test_slow_commands(slurm):
    """One that does not reply in time is ended with all that it started, and the next is asked."""
    slurm.hangs("squeue")
    slurm.hangs("scontrol")
    slurm.replies("sacct", "16|16|COMPLETED|0:0|2026-11-21T10:20:00|n1|\n")
    began = time.monotonic()
    reply = query_slurm(ONE, seconds=0.5)

    assert time.monotonic() - began < 10
    assert (reply.combined.phase, reply.answered) == ("ended-complete", False)
    assert reply.problems[0] == "squeue: no answer within 0.5 s"


@pytest.mark.parametrize(
    "garbage", ["hello\n", "16|16|is fine|x|y|z\n", "||||||||\n", "17|17|RUNNING|||\n", "\0\xff\n"]
)
def test_wrong_answers(slurm, garbage):
    """An answer that cannot be read, or tells of another job, is passed over; an unknown state is not running."""
    slurm.runs("squeue", f"printf '{garbage}'")
    slurm.replies("scontrol", "No jobs in the system\n")
    slurm.replies("sacct", "slurmdbd: error\n")
    reply = query_slurm(ONE)

    assert reply.combined.phase == "unknown"
    assert reply.combined.job == "16"


def test_a_state_of_the_future(slurm):
    """A state that we do not know is kept in Slurm's word, after all have been asked, and is not running."""
    slurm.replies("squeue", "16|16|TELEPORTING||n1|None\n")
    word = query_slurm(ONE).combined

    assert (word.state, word.phase, len(slurm.calls("sacct"))) == ("TELEPORTING", "unknown", 1)


@pytest.mark.parametrize("name", ["16_3", "16+1"])
def test_parts_of_a_job(slurm, name):
    """Tasks of an array and parts of a heterogeneous job tell of the job, and of themselves."""
    slurm.replies("squeue", f"{name}|18|RUNNING||n1|None\n16_4|19|PENDING|||Resources\n")

    assert [query_slurm(Submission((job,))).combined.phase for job in ("16", name, "18")] == ["running"] * 3


def test_scancel(slurm):
    """It is given all jobs in one call; only pending ones if asked; what it says against it is told."""
    slurm.replies("scancel")
    cancel_jobs(Submission(("16", "17")), pending_only=True)
    slurm.replies("scancel", err="scancel: error: Access/permission denied\n", code=1)

    assert slurm.calls("scancel") == ["--state=PENDING 16 17"]
    with pytest.raises(EnvironmentUnfitError, match="scancel 16: exit code 1: scancel: error: Access"):
        cancel_jobs(ONE, pending_only=False)


STATE = st.sampled_from([*STATES, "CANCELLED by 123", "COMPLETED+"])
ANYTHING = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=60), max_size=5)


@given(ANYTHING)
def test_no_output_breaks_a_parser(lines):
    """Whatever the lines are, the parsers return, and what they return is a state."""
    for parse in (_of_squeue, _of_scontrol, _of_sacct):
        for word in parse(lines):
            assert word.state


@given(STATE, st.integers(1, 2**31), st.text("abcXYZ ,:()|", max_size=20))
def test_every_state_is_read_alike(state, job, reason):
    """The three commands tell the same state in their own forms, whatever the reason beside it."""
    squeue = list(_of_squeue([f"{job}|{job}|{state}|N/A|n1|{reason}"]))
    sacct = list(_of_sacct([f"{job}|{job}|{state}|0:0|Unknown|None assigned|{reason}"]))
    scontrol = list(_of_scontrol([SCONTROL.format(job=job, state=state.split()[0], reason=reason)]))
    (state_read,) = {word.state for word in (*squeue, *sacct, *scontrol)}

    assert state_read == state.split()[0].rstrip("+")
    assert {str(job)} == {name for word in (*squeue, *sacct, *scontrol) for name in word.job.split()}

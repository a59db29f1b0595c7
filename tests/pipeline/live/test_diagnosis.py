"""The diagnosis on a run: record and ledger first, Slurm only where they leave it open; unknown is never running."""

from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcmtl.launch.slurm.states import STATES, SlurmJobState
from hpcmtl.pipeline.live.diagnosis import EXIT_CODES, DiagnosedState, RunEvidence, diagnose

NEW = RunEvidence(jobs=("16",), since_submission=300.0)  # submitted, and has not begun
LOST = RunEvidence("running", attempt=1, jobs=("16",), age=200.0)  # began, and is silent
STOPPED = RunEvidence("stopped", record="stopped", attempt=1, jobs=("16",), age=200.0)

AGAIN = SlurmJobState("17", "PENDING", "squeue", reason="Resources")  # of a user's own sbatch


def job(state, **more):
    """The state of job 16 in Slurm."""
    return SlurmJobState("16", state, "squeue", **more)


@pytest.mark.parametrize(
    ("facts", "slurm", "state", "over", "said"),
    [
        (RunEvidence(age=1.0), None, "preparing", False, "preparing"),
        (RunEvidence("running", attempt=1, age=1.0), None, "running", False, "running"),
        (RunEvidence("running", attempt=3, age=1.0), None, "running", False, "attempt 3 running"),
        (RunEvidence("stopping", attempt=1, age=1.0), None, "stopping", False, "stopping"),
        (
            RunEvidence("running", attempt=1, age=200.0),
            None,
            "silent",
            False,
            "no update for 3 min 20 s: it may have been",
        ),
        (
            RunEvidence("running", attempt=1, age=4000.0),
            None,
            "died",
            True,
            "no update for 1 h 06 min and no completion",
        ),
        (
            RunEvidence("stopping", attempt=1, age=1.0, gone=True, run="runs/a b"),
            None,
            "died",
            True,
            "was killed; `hpcmtl resume 'runs/a b'` goes on",
        ),
        (RunEvidence("complete", "complete", attempt=1), None, "complete", True, "ended: complete"),
        (RunEvidence("failed", "failed", attempt=2), None, "failed", True, "attempt 2 ended: failed"),
        (RunEvidence("running", "incomplete", attempt=1), None, "incomplete", True, "ended"),
        (RunEvidence("stopped", "stopped", attempt=1), None, "stopped", True, "hpcmtl resume RUN"),
        (NEW, None, "waiting", False, "submitted 5 min 00 s ago as job 16, and Slurm does not report"),
        (
            NEW,
            job("PENDING", reason="Resources", start="T"),
            "waiting",
            False,
            "PENDING (Resources), expected to start",
        ),
        (
            NEW,
            job("PENDING", reason="JobHeldUser", start="T"),
            "waiting",
            False,
            "(JobHeldUser); it is held: `scontrol",
        ),
        (NEW, job("CONFIGURING"), "waiting", False, "nodes are being made ready"),
        (NEW, job("RUNNING", nodes="n1"), "preparing", False, "RUNNING on n1, and the run has not begun"),
        (NEW, job("CANCELLED", by="123"), "cancelled", True, "cancelled by user 123 (it has not begun)"),
        (NEW, job("FAILED", exit_code="2:0"), "died", True, "(FAILED, exit code 2:0) without a completion record"),
        (NEW, job("BOOT_FAIL"), "died", True, "did not boot"),
        (NEW, job(""), "died", True, "no longer knows job 16"),
        (LOST, job("RUNNING", nodes="n1", start="T"), "silent", False, "no update for 3 min 20 s, though job 16 is"),
        (LOST, job("PENDING", reason="BeginTime"), "requeued", False, "attempt 1 was cut off and the job is in the"),
        (LOST, job("REQUEUE_HOLD"), "requeued", False, "scontrol release 16"),
        (LOST, job("SUSPENDED"), "suspended", False, "SUSPENDED"),
        (LOST, job("OUT_OF_MEMORY"), "died", True, "--mem"),
        (LOST, job("NODE_FAIL"), "died", True, "a node failed"),
        (LOST, job("TIMEOUT"), "died", True, "more time"),
        (LOST, job("COMPLETED"), "died", True, "mpirun that loses a node may end with 0"),
        (LOST, job("CANCELLED"), "cancelled", True, "job 16 was cancelled (no update for 3 min 20 s)"),
        (LOST, job("TELEPORTING"), "died", True, "without a completion record"),
        (STOPPED, job("PENDING", reason="BeginTime"), "requeued", False, "goes on when it starts again"),
        (STOPPED, job("RUNNING"), "stopping", False, "it is ending, or its next attempt begins"),
        (STOPPED, job("FAILED", exit_code="75:0"), "stopped", True, "(Slurm: FAILED, exit code 75:0)"),
        (STOPPED, job("FAILED", exit_code="2:0"), "died", True, "exit code 2:0) before an attempt began"),
        (STOPPED, job("CANCELLED", by="5"), "stopped", True, "CANCELLED by user 5"),
        (STOPPED, None, "stopped", True, "stopped with checkpoints"),
        (replace(STOPPED, cancelled_by="me@host"), job("RUNNING"), "stopped", True, "me@host cancelled it"),
        (STOPPED, AGAIN, "requeued", False, "attempt 1 ended: stopped; job 17 is PENDING (Resources): the run goes on"),
        (replace(STOPPED, cancelled_by="me"), AGAIN, "requeued", False, "job 17 is PENDING"),
        (replace(STOPPED, record="failed"), AGAIN, "requeued", False, "ended: failed; job 17 is PENDING"),
        (replace(STOPPED, record="failed"), job("RUNNING"), "failed", True, "ended: failed"),
        (replace(STOPPED, record="failed"), replace(AGAIN, state="RUNNING"), "preparing", False, "has not begun yet"),
        (replace(STOPPED, record="complete"), AGAIN, "complete", True, "ended: complete"),
    ],
)
def test_diagnosis(facts, slurm, state, over, said):
    """Each combination that is met has its state and its sentence."""
    diagnosis = diagnose(facts, slurm, answered=slurm is not None)

    assert (diagnosis.state, diagnosis.over) == (state, over)
    assert said in diagnosis.sentence


@pytest.mark.parametrize(
    "facts", [NEW, LOST, replace(LOST, age=1e6), STOPPED], ids=["new", "lost", "long lost", "stopped"]
)
def test_slurm_that_does_not_answer(facts):
    """Without an answer the diagnosis is that of the directory alone; if it is an end it is not a sure one."""
    silent = diagnose(facts, job(""), answered=False)

    assert silent == diagnose(facts, None)
    assert not (silent.over and silent.sure)


def test_a_job_with_an_end_or_a_heartbeat_is_not_asked_for():
    """Slurm is asked only where record and ledger leave it open."""
    assert [facts.open for facts in (NEW, LOST, STOPPED)] == [True] * 3
    assert not replace(LOST, age=3.0).open
    assert replace(STOPPED, cancelled_by="me").open
    assert replace(LOST, record="failed").open
    assert not replace(LOST, record="complete").open
    assert not replace(LOST, jobs=()).open


FACTS = st.builds(
    RunEvidence,
    st.sampled_from(["preparing", "running", "stopping", "complete", "failed", "incomplete", "stopped"]),
    st.sampled_from(["", "complete", "failed", "incomplete", "stopped"]),
    st.integers(0, 3),
    st.sampled_from(["", "me@host"]),
    st.sampled_from([(), ("16",)]),
    st.none() | st.floats(0, 1e6),
    st.just(30.0),
    st.none() | st.floats(0, 1e6),
)
STATES_OF_SLURM = st.none() | st.builds(
    job, st.sampled_from([*STATES, "", "NEW"]), exit_code=st.sampled_from(["", "2:0"])
)


@given(FACTS, STATES_OF_SLURM, st.booleans())
def test_every_diagnosis_is_sound(facts, slurm, answered):
    """It is of the closed set, says something, has an exit code when it is over, and 0 only by the run's own record."""
    diagnosis = diagnose(facts, slurm, answered=answered)

    assert diagnosis.state in get_args(DiagnosedState)
    assert diagnosis.sentence
    assert (diagnosis.exit_code is not None) == diagnosis.over
    assert not diagnosis.over or diagnosis.state in EXIT_CODES
    assert (diagnosis.exit_code == 0) == (facts.ended == "complete")
    if diagnosis.state == "running":
        assert not facts.silent

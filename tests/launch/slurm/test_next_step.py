"""The next step of a job after an attempt."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcmtl.launch.slurm.next_step import AttemptOutcome, decide

ALLOWED = {"allowed": 5}


def ended(record, code, **more):
    """An attempt that is over."""
    return AttemptOutcome(record=record, code=code, **more)


@pytest.mark.parametrize(
    ("attempt", "action", "code", "why"),
    [
        (ended("complete", 0), "end", 0, "complete"),
        (ended("complete", 137, **ALLOWED), "end", 0, "complete"),
        (ended("failed", 1, **ALLOWED), "end", 1, "failed"),
        (ended("failed", 0, **ALLOWED), "end", 1, "failed"),
        (ended("incomplete", 1, **ALLOWED), "end", 1, "incomplete"),
        (ended("stopped", 75, **ALLOWED), "requeue", 75, "stopped with checkpoints"),
        (ended("stopped", 143, **ALLOWED), "requeue", 75, "stopped with checkpoints"),
        (ended("stopped", 75, **ALLOWED, restart="successor"), "successor", 75, "stopped with checkpoints"),
        (ended(None, 0, **ALLOWED), "requeue", 75, r"lost: it left no completion record \(exit code 0\)"),
        (ended(None, 137, **ALLOWED), "requeue", 75, "lost"),
        (ended(None, 75, **ALLOWED), "requeue", 75, "stopped before it began"),
        (ended(None, 0), "end", 1, "lost.*no further attempt was asked for"),
        (ended(None, 137), "end", 137, "lost"),
        (ended(None, 2, **ALLOWED), "end", 2, "refused"),
        (ended(None, 3, **ALLOWED), "end", 3, "refused"),
        (ended("stopped", 75, further=5, **ALLOWED), "end", 75, "all 5 further attempts are used"),
        (ended("stopped", 75, further=1, **{**ALLOWED, "allowed": 1}), "end", 75, "the 1 further attempt is used"),
        (ended("stopped", 75, further=5, preempted=True, stuck=True, **ALLOWED), "requeue", 75, "stopped"),
        (ended("stopped", 75, preempted=True), "end", 75, "no further attempt was asked for"),
        (ended("stopped", 75, stuck=True, **ALLOWED), "end", 75, "two attempts in a row made no progress"),
        (ended("stopped", 75, ended_by_slurm=True, **ALLOWED), "end", 75, "Slurm has ended the job"),
        (ended("stopped", 75, ended_by_slurm=True, at_limit=True, **ALLOWED), "requeue", 75, "stopped"),
        (ended("stopped", 75, in_slurm=False, **ALLOWED), "end", 75, "hpcmtl resume"),
    ],
)
def test_ends_of_attempts(attempt, action, code, why):
    """Each end of an attempt has its action, its true exit code and its reason."""
    verdict = decide(attempt)

    assert (verdict.action, verdict.code) == (action, code)
    assert re.search(why, verdict.why)


ATTEMPTS = st.builds(
    AttemptOutcome,
    record=st.sampled_from([None, "complete", "failed", "incomplete", "stopped"]),
    code=st.integers(0, 255),
    ended_by_slurm=st.booleans(),
    at_limit=st.booleans(),
    further=st.integers(0, 6),
    allowed=st.integers(0, 5),
    restart=st.sampled_from(["requeue", "successor"]),
    stuck=st.booleans(),
    in_slurm=st.booleans(),
)


@given(ATTEMPTS)
def test_no_success_without_the_record(attempt):
    """Exit code 0 means a complete record, always; no end is without bound, and what failed is not tried again."""
    verdict = decide(attempt)

    assert (verdict.code == 0) == (attempt.record == "complete")
    assert verdict.code_alone != 0
    if verdict.action != "end":
        assert attempt.record in {None, "stopped"}
        assert attempt.further < attempt.allowed
        assert not attempt.stuck

"""Slurm's states become a small closed set of phases; what Slurm says of several jobs becomes one word."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcmtl.launch.slurm.states import LIVE, STATES, Phase, SlurmJobState, combined_state, parse_state

# As the documentation of Slurm 22.05 names them.
DOCUMENTED = frozenset(
    """BOOT_FAIL CANCELLED COMPLETED CONFIGURING COMPLETING DEADLINE FAILED NODE_FAIL OUT_OF_MEMORY PENDING
PREEMPTED RUNNING RESV_DEL_HOLD REQUEUE_FED REQUEUE_HOLD REQUEUED RESIZING REVOKED SIGNALING SPECIAL_EXIT STAGE_OUT
STOPPED SUSPENDED TIMEOUT""".split()  # noqa: SIM905 - it reads better
)


def test_every_documented_state_has_a_phase():
    """None is missing, and all phases are of the closed set."""
    assert set(STATES) >= DOCUMENTED
    assert {phase for phase, _ in STATES.values()} == set(get_args(Phase))


@pytest.mark.parametrize(
    ("state", "hint"),
    [
        ("OUT_OF_MEMORY", "--mem"),
        ("NODE_FAIL", "hpcmtl resume RUN"),
        ("DEADLINE", "--deadline"),
        ("BOOT_FAIL", "submit again"),
        ("REQUEUE_HOLD", "scontrol release 16"),
        ("SPECIAL_EXIT", "scontrol release 16"),
        ("TIMEOUT", "more time"),
        ("PREEMPTED", "hpcmtl resume RUN"),
        ("COMPLETED", ""),
    ],
)
def test_hints(state, hint):
    """The remedy for a state is said with the job's own ID."""
    assert hint in SlurmJobState("16", state).hint
    assert bool(SlurmJobState("16", state).hint) == bool(hint)


@pytest.mark.parametrize(
    ("reason", "hint"),
    [
        ("job requeued in held state", "scontrol release 16"),
        ("job_requeued_in_held_state", "scontrol release 16"),
        ("JobHeldUser", "scontrol release 16"),
        ("DependencyNeverSatisfied", "never start"),
        ("BeginTime", ""),
        ("Resources", ""),
    ],
)
def test_reasons_that_do_not_pass(reason, hint):
    """A job that waits in vain says so; squeue writes reasons with spaces, scontrol with underscores."""
    found = SlurmJobState("16", "PENDING", reason=reason).hint

    assert hint in found
    assert bool(hint) == bool(found)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("CANCELLED by 123", ("CANCELLED", "123")),
        ("CANCELLED+", ("CANCELLED", "")),
        (" RUNNING ", ("RUNNING", "")),
        ("running", ("", "")),
        ("", ("", "")),
        ("CANCELLED by", ("", "")),
        ("NEW_STATE", ("NEW_STATE", "")),
    ],
)
def test_states_as_printed(text, found):
    """The user who cancelled is parted from the state; a text that is no state is none."""
    assert parse_state(text) == found


@given(st.text())
def test_any_text_is_parsed(text):
    """Nothing breaks it, and a state is of capitals."""
    state, _ = parse_state(text)

    assert state == state.upper()


@given(st.lists(st.sampled_from([*STATES, "", "NEW"]).map(lambda state: SlurmJobState("1", state)), min_size=1))
def test_what_still_does_something_comes_first(words):
    """A live job outweighs all that ended, an end outweighs silence, and unknown is never taken for running."""
    phase = combined_state(words).phase
    phases = {word.phase for word in words}

    assert (phase in LIVE) == bool(phases & set(LIVE))
    assert (phase == "unknown") == (phases == {"unknown"})
    assert combined_state([]) is None


def test_of_several_ends_the_last_counts():
    """The successor's end says how the run ended, not that of the job which it followed."""
    assert combined_state([SlurmJobState("1", "TIMEOUT"), SlurmJobState("2", "FAILED"), SlurmJobState("3")]).job == "2"

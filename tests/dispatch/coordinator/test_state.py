"""The knowledge of rank 0 about artifacts: their owners, and those that are made again."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from hpcmtl.dispatch.coordinator.state import TaskState, owners, remake


def states():
    """A task that has ended on ranks from 3 on, and another that needs it."""
    first = TaskState(SimpleNamespace(name="first"), (), layers_done=2, status="complete", owner=3)
    return {"first": first, "second": TaskState(SimpleNamespace(name="second"), ("first",))}


def test_homes():
    """Those of the needed tasks that have one."""
    tasks = states()

    assert owners(tasks, tasks["second"]) == (("first", 3),)
    assert owners(tasks, tasks["first"]) == ()
    tasks["first"].owner = None
    assert owners(tasks, tasks["second"]) == ()


def test_a_task_is_made_again_once():
    """Its last layer runs again, whoever else finds the same damage waits as well, and the next time it is an error."""
    tasks = states()
    first = tasks["first"]

    assert remake(tasks, "first") is first
    assert (first.status, first.layers_done, first.owner) == (None, 1, None)
    assert remake(tasks, "first") is first
    assert first.layers_done == 1
    first.status, first.layers_done = "complete", 2
    assert remake(tasks, "first") is None
    assert first.status == "complete"


def test_other_failures_make_nothing_again():
    """A failure that names no task of the job is the consumer's own."""
    assert remake(states(), "") is None


@pytest.mark.parametrize("reason", ["paused", "cancelled", "no_time"])
def test_each_reason_alone_holds_a_task_back(reason):
    """A pause, a cancel, or too little time left is enough for no further layer to start."""
    state = states()["second"]

    assert not state.held_back
    setattr(state, reason, True)
    assert state.held_back

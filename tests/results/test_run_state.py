"""The one fold over the events of a run; its view for people is tested with the status."""

import pytest
from events import EXAMPLES, state_after
from hypothesis import given
from hypothesis import strategies as st

from hpcmtl.results.run_state import RunState
from hpcmtl.results.step_progress import StepProgress

JOB = ("job_started", {"job": "j", "ranks": 4, "host": "h", "attempt_id": "16.0"})
ENDED = ("job_ended", {"status": "stopped"})


def started(layer=0, task="a", layers=4):
    """A layer starts on ranks 1 and 2."""
    return "layer_started", {"task": task, "layer": layer, "layers": layers, "first_rank": 1, "ranks": 2}


def over(name="layer_ended", layer=0, task="a", **fields):
    """A layer ends, or is stopped."""
    return name, {"task": task, "layer": layer, "ranks": 2, "steps": 5, "step_seconds": 0.1, **fields}


def asked(verb, task="a", **values):
    """A user's request is accepted."""
    return "request_accepted", {"request": "1", "verb": verb, "by": "me@here", "task": task, "values": values}


def test_requests_hold_over_attempts():
    """Priority, learning rate and a pause are those that were set last, also in the next attempt."""
    state = state_after(
        JOB,
        asked("set", learning_rate=0.1),
        asked("set", priority=3, learning_rate=0.01),
        asked("pause"),
        ENDED,
        JOB,
    )
    task = state.tasks["a"]

    assert (task.priority, task.learning_rate, task.learning_rates, task.paused) == (3, 0.01, 2, True)
    assert not state_after(JOB, asked("pause"), asked("unpause")).tasks["a"].paused
    assert state_after(JOB, asked("cancel")).tasks["a"].cancelled


def test_losses_of_a_layer_are_counted():
    """Losses count for one layer, over attempts, until the task ends; a layer that could only not begin lost none."""
    lost = ("layer_restarted", {"task": "a", "layer": 2, "lost": (1,)})
    unbegun = ("layer_restarted", {"task": "a", "layer": 2})
    other = ("layer_restarted", {"task": "a", "layer": 3, "lost": (0, 2)})
    ended = ("task_ended", {"task": "a", "status": "failed"})

    def losses(*happened):
        task = state_after(JOB, *happened).tasks["a"]
        return task.lost_layer, task.losses

    assert losses(unbegun) == (-1, 0)
    assert losses(lost, unbegun, JOB, lost) == (2, 2)
    assert losses(lost, other) == (3, 1)
    assert losses(lost, lost, ended, ENDED, JOB, lost) == (2, 1)
    assert losses(lost, ("checkpoint_written", {"task": "a", "step": 7}), lost) == (2, 1)


def test_a_group_without_a_word_of_who_lives():
    """Where a ledger does not tell the members of the world, a group is taken for adjacent ranks."""
    assert state_after(started()).tasks["a"].ranks == (1, 2)


def test_poisoned_values_of_requests_are_passed_over(caplog):
    """Values that earlier versions accepted, and that would end a resumed run, are named and ignored."""
    state = state_after(
        JOB,
        asked("set", priority=2, learning_rate=0.1),
        asked("set", priority=2**63, learning_rate=float("inf")),
        asked("set", priority="high", learning_rate=-1),
    )
    task = state.tasks["a"]

    assert (task.priority, task.learning_rate, task.learning_rates) == (2, 0.1, 1)
    assert [record.args[:2] for record in caplog.records] == [("priority", "a"), ("learning_rate", "a")] * 2


def test_the_attempt_is_the_last_one():
    """Of several attempts the last one counts; before any has begun there is one with number 0."""
    again = ("job_started", {**JOB[1], "attempt": 2, "attempt_id": "16.1"})

    assert RunState().attempt.number == 0
    assert state_after(JOB, ENDED, again).attempt.id == "16.1"


def test_a_cancelled_job_is_cancelled_in_one_attempt():
    """The user who cancelled the whole job is that of the attempt, and not of the next."""
    state = state_after(JOB, asked("cancel", task=""), ENDED, JOB)

    assert [attempt.cancelled_by for attempt in state.attempts] == ["me@here", ""]
    assert [(attempt.number, attempt.id, attempt.host) for attempt in state.attempts] == [
        (1, "16.0", "h"),
        (2, "16.0", "h"),
    ]


@pytest.mark.parametrize(
    ("happened", "progressed"),
    [
        ([over(layer=1)], True),
        ([over(layer=0)], False),  # the same layer once more: its artifact was damaged
        ([over("layer_stopped", layer=1)], True),
        ([over("layer_stopped", layer=1, steps=0)], False),
        ([("checkpoint_written", {"task": "a", "step": 20})], True),
        ([("checkpoint_written", {"task": "a", "step": 10})], False),
        ([("checkpoint_damaged", {"task": "a"})], False),
        ([started(1)], False),
    ],
)
def test_progress_of_an_attempt(happened, progressed):
    """A second attempt has progressed if it did something that the first had not done."""
    state = state_after(JOB, ("checkpoint_written", {"task": "a", "step": 10}), over(), ENDED, JOB, *happened)

    assert [attempt.progressed for attempt in state.attempts] == [True, progressed]


def test_a_damaged_artifact_takes_the_last_layer_back():
    """Several consumers may find the damage; the layer is taken back once."""
    damaged = ("artifact_damaged", {"task": "a", "consumer": "b"})
    complete = ("task_ended", {"task": "a", "status": "complete"})
    task = state_after(JOB, started(3), over(layer=3), complete, damaged, damaged).tasks["a"]

    assert (task.status, task.layers_done, task.complete) == ("waiting", 3, False)


def test_layers_are_measured_until_ranks_have_other_numbers():
    """A layer counts with the size of the world of its attempt; after a loss of ranks none does."""
    shrunk = ("world_shrunk", {"ranks": 3, "members": [0, 1, 2]})
    state = state_after(
        JOB, started(), over(), started(1), over("layer_stopped", 1), shrunk, started(1), over(layer=1), ENDED, JOB
    )
    again = state_after(JOB, shrunk, ENDED, JOB, started(), over())

    assert [(each.first_rank, each.world, each.layer.layer) for each in state.measured] == [(1, 4, 0)]
    assert len(again.measured) == 1


def test_a_layer_that_ends_while_the_job_stops_was_stopped():
    """It reached its end before it heard of the stop; the task is stopped with its checkpoint all the same."""
    stopping = ("job_stopping", {"reason": "SIGTERM"})
    before = state_after(JOB, started(), over(), stopping).tasks["a"]
    after = state_after(JOB, started(), stopping, over()).tasks["a"]

    assert (before.stopped, after.stopped) == (False, True)


@given(st.lists(st.sampled_from(EXAMPLES)))
def test_any_order_of_events_is_taken(happened):
    """A ledger that was cut or edited is no reason to fail: shares stay within bounds, whatever happened."""
    state = RunState()
    for second, event in enumerate(happened):
        state.take(event, float(second))
        state.progressed(StepProgress("a", 0, 0, None, 1.0, 0.5))

    assert all(0 <= task.share <= 1 for task in state.tasks.values())
    assert len(state.attempts) == sum(event.name == "job_started" for event in happened)

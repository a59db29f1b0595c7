"""Where tasks stand follows from the plan, the events and word of steps."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plans import SMALL_PLAN

from hpcmtl.results.sinks.terminal import StepProgress
from hpcmtl.results.status.job_progress import PLANNED, SCALED, JobProgress


def board(*events):
    """A board that has heard of some events: (seconds, event, fields)."""
    made = JobProgress.of_plan(SMALL_PLAN)
    for at, event, fields in ((0.0, "job_started", {"job": "j", "ranks": 4}), *events):
        made.take(event, fields, at)
    return made


def layer(at, event, task="a", number=0, layers=2):
    """An event of a layer on ranks 1 and 2."""
    started = {"first_rank": 1, "layers": layers} if event == "layer_started" else {}
    return at, event, {"task": task, "layer": number, "ranks": 2, **started}


def test_a_layer_runs_and_ends():
    """A running layer has ranks and progress; between layers a task is held, with a layer more done."""
    running = board(layer(1.0, "layer_started"))
    running.progressed(StepProgress("a", 0, 0, None, 1.0, 0.25, 5, 2.0))
    ended = board(layer(1.0, "layer_started"), layer(9.0, "layer_ended"))

    assert (running.tasks["a"].status, running.tasks["a"].ranks) == ("running", (1, 2))
    assert running.tasks["a"].share == pytest.approx(0.125)
    assert running.tasks["a"].left(11.0) == pytest.approx(30.0)
    assert (ended.tasks["a"].status, ended.tasks["a"].layers_done, ended.tasks["a"].share) == ("held", 1, 0.5)


def test_ranks_that_are_lost():
    """What is left of a group has new numbers, its layer waits again, and the next attempt has all its ranks."""
    lost = (2.0, "rank_lost", {"rank": 1, "host": "h", "task": "a", "layer": 0, "step": 3})
    shrunk = (2.1, "world_shrunk", {"ranks": 3, "survivors": [0, 2, 3]})
    smaller = board(layer(1.0, "layer_started"), lost, shrunk)
    block = smaller.tasks["a"].ranks
    smaller.take("layer_restarted", {"task": "a", "layer": 0}, 2.2)
    again = board(layer(1.0, "layer_started"), lost, shrunk, (9.0, "job_started", {"job": "j", "ranks": 4}))

    assert (smaller.ranks, block, [fields["rank"] for fields in smaller.lost]) == (3, (1, 1), [1])
    assert (smaller.tasks["a"].status, smaller.tasks["a"].progress) == ("waiting", None)
    assert (again.ranks, again.lost) == (4, [])


def test_late_word_is_passed_over():
    """Progress of a layer that has ended, or of a task that nobody knows, changes nothing."""
    ended = board(layer(1.0, "layer_started"), layer(9.0, "layer_ended"))
    ended.progressed(StepProgress("a", 0, 0, None, 1.0, 0.25))
    ended.progressed(StepProgress("x", 0, 0, None, 1.0, 0.25))

    assert ended.tasks["a"].progress is None
    assert set(ended.tasks) == {"a", "b"}


def test_what_went_wrong():
    """Retries, failures and silent ranks are there with their reasons; what was open when the job ended has stopped."""
    retried = {"task": "a", "layer": 0, "retry": 1, "retries": 2, "message": "boom", "wait": 1.0}
    trouble = board((1.0, "task_retried", retried), (2.0, "rank_suspected", {"rank": 3, "seconds": 30.0}))
    assert (trouble.tasks["a"].status, trouble.tasks["a"].message) == ("waiting", "try 1 of 2 after: boom")
    assert set(trouble.suspects) == {3}

    trouble.take("rank_recovered", {"rank": 3, "seconds": 40.0}, 3.0)
    trouble.take("task_ended", {"task": "a", "status": "failed", "message": "boom"}, 4.0)
    trouble.take("job_ended", {"status": "failed", "seconds": 5.0}, 5.0)

    assert trouble.suspects == {}
    assert [(line.status, line.message) for line in trouble.tasks.values()] == [("failed", "boom"), ("stopped", "")]
    assert trouble.left(6.0) is None


def test_another_attempt():
    """It takes up what is not complete: nothing has ended, layers that are done stay done, and its own pace counts."""
    made = board(
        layer(1.0, "layer_started"),
        layer(9.0, "layer_ended"),
        (10.0, "rank_suspected", {"rank": 1}),
        (11.0, "task_ended", {"task": "b", "status": "failed", "message": "boom"}),
        (12.0, "job_ended", {"status": "failed"}),
        (100.0, "job_started", {"job": "j", "ranks": 2, "attempt": 2, "attempt_id": ""}),
    )
    before = made.left(110.0)
    made.take("layer_started", layer(110.0, "layer_started", number=1)[2], 110.0)
    made.take("layer_ended", layer(120.0, "layer_ended", number=1)[2], 120.0)

    assert (made.status, made.ended, made.started, made.ranks, made.suspects) == ("running", 0.0, 100.0, 2, {})
    assert [(line.status, line.layers_done, line.message) for line in made.tasks.values()] == [
        ("held", 2, ""),
        ("waiting", 0, ""),
    ]
    assert before == (75.0, PLANNED)
    assert made.left(120.0) == (pytest.approx(20.0 * 0.5 / 0.25), SCALED)


def test_expected_end():
    """It is the plan's before anything is done, and what the pace so far makes of the plan afterwards."""
    begun = board(layer(0.0, "layer_started"))
    half = board(layer(0.0, "layer_started"), layer(80.0, "layer_ended"))

    assert begun.left(1.0) == (100.0, PLANNED)
    assert half.left(80.0) == (pytest.approx(240.0), SCALED)
    assert JobProgress.of_plan(SMALL_PLAN).left(0.0) is None


def test_a_task_that_came_later():
    """A task that the plan does not know, since it was added to the running job, has a line as well."""
    added = board(layer(1.0, "layer_started", "new", layers=3))

    assert (added.tasks["new"].layers, added.tasks["new"].status) == (3, "running")


@given(st.lists(st.sampled_from(["layer_started", "layer_ended", "layer_stopped", "task_retried"]), max_size=12))
def test_shares_stay_within_bounds(events):
    """Whatever the order of events, a share is between nothing and all, and the time left is never below nothing."""
    fields = {"retry": 1, "retries": 2, "message": "m"}
    made = board(*((at, event, {**layer(at, event)[2], **fields}) for at, event in enumerate(events, 1)))

    assert 0 <= made.tasks["a"].share <= 1
    assert made.left(100.0)[0] >= 0

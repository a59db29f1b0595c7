"""The progress of tasks and of the job follows from the plan, the events and the reports of steps."""

import pytest
from events import event
from hypothesis import given
from hypothesis import strategies as st
from plans import SMALL_PLAN

from hpcmtl.results.status.job_progress import PLANNED, SCALED, JobProgress
from hpcmtl.results.step_progress import StepProgress


def board(*happened):
    """The progress of a job after some events: (seconds, name, fields)."""
    made = JobProgress.of_plan(SMALL_PLAN)
    take(made, *((0.0, "job_started", {"job": "j", "ranks": 4}), *happened))
    return made


def take(made, *happened):
    """Take in more events."""
    for at, name, fields in happened:
        made.state.take(event(name, **fields), at)


def layer(at, event, task="a", number=0, layers=2):
    """An event of a layer on ranks 1 and 2."""
    started = {"first_rank": 1, "layers": layers} if event == "layer_started" else {}
    return at, event, {"task": task, "layer": number, "ranks": 2, **started}


def test_a_layer_runs_and_ends():
    """A running layer has ranks and progress; between layers a task is held, with a layer more done."""
    running = board(layer(1.0, "layer_started"))
    running.state.progressed(StepProgress("a", 0, 0, None, 1.0, 0.25, 5, 2.0))
    ended = board(layer(1.0, "layer_started"), layer(9.0, "layer_ended"))

    assert (running.state.tasks["a"].status, running.state.tasks["a"].ranks) == ("running", (1, 2))
    assert running.state.tasks["a"].share == pytest.approx(0.125)
    assert running.state.tasks["a"].seconds_left(11.0) == pytest.approx(7.5)
    assert (ended.state.tasks["a"].status, ended.state.tasks["a"].layers_done, ended.state.tasks["a"].share) == (
        "held",
        1,
        0.5,
    )


def test_ranks_that_are_lost():
    """The rest of a group keeps its numbers, its layer waits again, and the next attempt has all its ranks."""
    lost = (2.0, "rank_lost", {"rank": 1, "host": "h", "task": "a", "layer": 0, "step": 3})
    shrunk = (2.1, "world_shrunk", {"ranks": 3, "members": [0, 2, 3], "generation": 1})
    smaller = board(layer(1.0, "layer_started"), lost, shrunk)
    block = smaller.state.tasks["a"].ranks
    take(smaller, (2.2, "layer_restarted", {"task": "a", "layer": 0}))
    again = board(layer(1.0, "layer_started"), lost, shrunk, (9.0, "job_started", {"job": "j", "ranks": 4}))

    assert (smaller.state.ranks, block, [lost.rank for lost in smaller.state.lost]) == (3, (2, 2), [1])
    assert (smaller.state.tasks["a"].status, smaller.state.tasks["a"].progress) == ("waiting", None)
    assert (again.state.ranks, again.state.lost) == (4, [])


def test_late_word_is_passed_over():
    """Progress of a layer that has ended, or of a task that nobody knows, changes nothing."""
    ended = board(layer(1.0, "layer_started"), layer(9.0, "layer_ended"))
    ended.state.progressed(StepProgress("a", 0, 0, None, 1.0, 0.25))
    ended.state.progressed(StepProgress("x", 0, 0, None, 1.0, 0.25))

    assert ended.state.tasks["a"].progress is None
    assert set(ended.state.tasks) == {"a", "b"}


def test_what_went_wrong():
    """Retries, failures and silent ranks are there with their reasons; what was open when the job ended has stopped."""
    retried = {"task": "a", "layer": 0, "retry": 1, "retries": 2, "message": "boom", "wait": 1.0}
    trouble = board((1.0, "task_retried", retried), (2.0, "rank_suspected", {"rank": 3, "seconds": 30.0}))
    assert (trouble.state.tasks["a"].status, trouble.state.tasks["a"].message) == ("waiting", "try 1 of 2 after: boom")
    assert set(trouble.state.suspects) == {3}

    take(trouble, (3.0, "rank_recovered", {"rank": 3, "seconds": 40.0}))
    take(trouble, (4.0, "task_ended", {"task": "a", "status": "failed", "message": "boom"}))
    take(trouble, (5.0, "job_ended", {"status": "failed", "seconds": 5.0}))

    assert trouble.state.suspects == {}
    assert [(line.status, line.message) for line in trouble.state.tasks.values()] == [
        ("failed", "boom"),
        ("stopped", ""),
    ]
    assert trouble.seconds_left(6.0) is None


def test_another_attempt():
    """It takes up what is not complete: nothing has ended, layers that are done stay done, and its own pace counts."""
    made = board(
        layer(1.0, "layer_started"),
        layer(9.0, "layer_ended"),
        (10.0, "rank_suspected", {"rank": 1}),
        (11.0, "task_ended", {"task": "b", "status": "failed", "message": "boom"}),
        (12.0, "job_ended", {"status": "failed", "seconds": 1.0}),
        (100.0, "job_started", {"job": "j", "ranks": 2, "attempt": 2, "attempt_id": ""}),
    )
    before = made.seconds_left(110.0)
    take(made, (110.0, "layer_started", layer(110.0, "layer_started", number=1)[2]))
    take(made, (120.0, "layer_ended", layer(120.0, "layer_ended", number=1)[2]))

    assert (made.state.status, made.state.ended, made.state.started, made.state.ranks, made.state.suspects) == (
        "running",
        0.0,
        100.0,
        2,
        {},
    )
    assert [(line.status, line.layers_done, line.message) for line in made.state.tasks.values()] == [
        ("held", 2, ""),
        ("waiting", 0, ""),
    ]
    assert before == (75.0, PLANNED)
    assert made.seconds_left(120.0) == (pytest.approx(20.0 * 0.5 / 0.25), SCALED)


def test_expected_end():
    """It is the plan's before anything is done, and what the pace so far makes of the plan afterwards."""
    begun = board(layer(0.0, "layer_started"))
    half = board(layer(0.0, "layer_started"), layer(80.0, "layer_ended"))

    assert begun.seconds_left(1.0) == (100.0, PLANNED)
    assert half.seconds_left(80.0) == (pytest.approx(240.0), SCALED)
    assert JobProgress.of_plan(SMALL_PLAN).seconds_left(0.0) is None


def test_a_slow_start_does_not_count_as_pace():
    """Steps go by their own pace: a first step after 30 s of imports does not make hours of a layer of 10 s."""
    made = board(layer(0.0, "layer_started"))
    made.state.progressed(StepProgress("a", 0, 0, None, 1.0, 0.01, 1, 10.0))

    assert made.state.tasks["a"].seconds_left(30.0) == pytest.approx(9.9)
    assert made.seconds_left(30.0)[0] < 100.0


def test_a_stopped_layer_keeps_what_its_checkpoint_holds():
    """A task that was paused or stopped in a layer shows its share of it, also when the job has ended or goes on."""
    made = board(layer(1.0, "layer_started"))
    made.state.progressed(StepProgress("a", 0, 0, None, 1.0, 0.5, 5, 2.0))
    take(made, layer(3.0, "layer_stopped"))
    held = made.state.tasks["a"].share
    take(made, (4.0, "job_ended", {"status": "stopped", "seconds": 4.0}))
    stopped = made.state.tasks["a"].share
    take(made, (9.0, "job_started", {"job": "j", "ranks": 4}))

    assert (held, stopped, made.state.tasks["a"].share) == (0.25, 0.25, 0.25)
    assert made.state.tasks["a"].seconds_left(9.0) is None


def test_a_request_to_the_whole_job_is_no_task():
    """A cancel of the job and an addition name no task: none without a name appears."""
    fields = {"request": "1", "by": "me@here", "task": "", "values": {}}
    made = board(*((1.0, "request_accepted", {**fields, "verb": verb}) for verb in ("cancel", "add", "pause", "set")))

    assert set(made.state.tasks) == {"a", "b"}


def test_a_task_that_came_later():
    """A task that the plan does not know, since it was added to the running job, has a line as well."""
    added = board(layer(1.0, "layer_started", "new", layers=3))

    assert (added.state.tasks["new"].layers, added.state.tasks["new"].status) == (3, "running")


@given(st.lists(st.sampled_from(["layer_started", "layer_ended", "layer_stopped", "task_retried"]), max_size=12))
def test_shares_stay_within_bounds(events):
    """Whatever the order of events, a share is between nothing and all, and the time left is never below nothing."""
    fields = {"retry": 1, "retries": 2, "message": "m"}
    made = board(*((at, event, {**layer(at, event)[2], **fields}) for at, event in enumerate(events, 1)))

    assert 0 <= made.state.tasks["a"].share <= 1
    assert made.seconds_left(100.0)[0] >= 0


def test_a_paused_layer_goes_on_where_it_stopped():
    """The share of a task does not fall when its stopped layer starts again; reports are of the rest of the layer."""
    made = board(layer(1.0, "layer_started"))
    made.state.progressed(StepProgress("a", 0, 0, None, 1.0, 0.6, 6, 2.0))
    shares = [made.state.tasks["a"].share]
    take(made, layer(4.0, "layer_stopped"))
    shares.append(made.state.tasks["a"].share)
    take(made, layer(9.0, "layer_started"))
    shares.append(made.state.tasks["a"].share)
    made.state.progressed(StepProgress("a", 0, 0, None, 1.0, 0.5, 2, 2.0))
    shares.append(made.state.tasks["a"].share)
    take(made, layer(11.0, "layer_ended"))

    assert [*shares, made.state.tasks["a"].share] == pytest.approx([0.3, 0.3, 0.3, 0.4, 0.5])

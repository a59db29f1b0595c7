"""Which attempts brought a run further, what they left behind, and where the next one continues."""

from __future__ import annotations

import json
from datetime import datetime, timezone

import pytest
from events import event
from plans import SMALL_PLAN

from hpcmtl.results.ledger import Ledger
from hpcmtl.results.outcome.attempts import (
    conclude_attempt,
    further_attempts,
    status_left,
    stuck,
    where_it_goes_on,
)
from hpcmtl.results.rundir.directory import create, write_json_atomically

LAYER = {"task": "a", "layer": 0, "layers": 2, "first_rank": 0, "ranks": 2}


@pytest.fixture
def run(tmp_path):
    """A new run directory with a plan."""
    made = create(tmp_path / "runs", "small")
    write_json_atomically(made.plan_file, SMALL_PLAN)
    return made


def attempt(run, number, *happened):
    """Writes the ledger of one attempt, a second long."""
    with Ledger(run.ledger_file, lambda: datetime.fromtimestamp(1000.0 + number, timezone.utc)) as ledger:
        ledger.append(event("job_started", job="small", ranks=4, attempt=number, attempt_id=f"id{number}"))
        for name, fields in happened:
            ledger.append(event(name, **fields))


ENDED = ("layer_ended", {"task": "a", "layer": 0, "ranks": 2, "steps": 3, "seconds": 1.0})


@pytest.mark.parametrize(
    ("first", "second", "found"),
    [
        ((ENDED,), (), (False, False)),  # the one before did
        ((), (("layer_started", LAYER), ENDED), (True, False)),
        ((), (), (False, True)),
    ],
)
def test_two_attempts_without_progress_are_stuck(run, first, second, found):
    """An attempt that ended a layer brought the run further; two in a row that did not are stuck."""
    attempt(run, 1, *first)
    attempt(run, 2, *second)

    assert stuck(run, "id2") == found


def test_an_attempt_that_left_nothing_has_not_progressed(run):
    """An attempt that died before its first event counts by the conclusions of the batch script alone."""
    attempt(run, 1, ENDED)
    assert stuck(run, "id2") == (False, False)

    conclude_attempt(run.path, attempt="id2", job="7", action="requeue", successor="", progressed=False)
    assert stuck(run, "id3") == (False, True)


def test_an_attempt_that_was_preempted_does_not_count(run):
    """One that Slurm stopped for another job, and that had no time to get further, is as if it had not been."""
    attempt(run, 1)
    conclude = {"attempt": "id1", "job": "7", "action": "requeue", "successor": "", "progressed": False}
    conclude_attempt(run.path, **conclude, preempted=True)
    attempt(run, 2)

    assert stuck(run, "id2") == (False, False)
    conclude_attempt(run.path, **conclude)
    assert stuck(run, "id2") == (False, True)


@pytest.mark.parametrize(
    ("record", "left"),
    [
        (None, None),
        ({"status": "failed", "attempt_id": "id2"}, "failed"),
        ({"status": "stopped", "attempt_id": "id1"}, None),
        ({"status": "complete", "attempt_id": "id1"}, "complete"),
    ],
)
def test_the_status_that_an_attempt_left(run, record, left):
    """A record counts for the attempt that wrote it; a complete run stays complete."""
    if record is not None:
        run.results_file.write_text(json.dumps(record))

    assert status_left(run, "id2") == left


def test_where_the_next_attempt_continues(run):
    """A layer that was begun is named, several up to three; without one it is the start, or the tasks that are left."""
    assert where_it_goes_on(run.path) == "the start"
    attempt(run, 1, ("layer_started", LAYER))
    assert where_it_goes_on(run.path) == "layer 1 of a"
    attempt(run, 2, ("layer_started", LAYER), ENDED, ("layer_started", {**LAYER, "layer": 1}))
    assert where_it_goes_on(run.path) == "layer 2 of a"
    attempt(run, 3, ("task_ended", {"task": "a", "status": "complete"}))
    assert where_it_goes_on(run.path) == "the tasks that are left"


def test_many_places_are_counted(run):
    """Of five layers that were begun, three are named and two counted."""
    tasks = [{**SMALL_PLAN["tasks"][0], "name": name} for name in "abcde"]
    write_json_atomically(run.plan_file, {**SMALL_PLAN, "tasks": tasks})
    attempt(run, 1, *(("layer_started", {**LAYER, "task": name}) for name in "abcde"))

    assert where_it_goes_on(run.path) == "layer 1 of a, layer 1 of b, layer 1 of c and 2 more"


@pytest.mark.parametrize(("status", "begun"), [("failed", True), ("skipped", False)])
def test_a_task_that_ended_without_a_layer_does_not_start_again(run, status, begun):
    """Once a task has ended, even before its first layer did, the next attempt is no start of the run."""
    attempt(run, 1, *[("layer_started", LAYER)] * begun, ("task_ended", {"task": "a", "status": status}))

    assert where_it_goes_on(run.path) == "the tasks that are left"


def test_attempts_since_a_submission(run):
    """Requeues of a job and its predecessors count, one each; an end, and jobs of another submission, do not."""
    assert further_attempts(run.path, "7") == 0
    conclusions = [("5", "end", ""), ("6", "requeue", ""), ("6", "successor", "7"), ("7", "requeue", "")]
    for number, (job, action, successor) in enumerate(conclusions):
        conclude_attempt(run.path, attempt=f"id{number}", job=job, action=action, successor=successor, progressed=True)

    assert further_attempts(run.path, "5") == 0
    assert further_attempts(run.path, "7") == 3

"""A run directory by itself tells how the run is doing, and how old that is."""

import io
import json
from datetime import datetime, timezone

import pytest
from events import event
from plans import SMALL_PLAN
from rich.console import Console

from hpcmtl.errors import InputError
from hpcmtl.results.ledger import Ledger
from hpcmtl.results.rundir.directory import create, write_json_atomically
from hpcmtl.results.status.status import read_status
from hpcmtl.results.status.table import MOST_ROWS, duration, status_view

START = 1_700_000_000.0
GIB = 1 << 30


class Clock:
    """A clock that is set."""

    def __init__(self):
        self.now = START

    def __call__(self):
        return datetime.fromtimestamp(self.now, timezone.utc)


@pytest.fixture
def clock():
    """The ledger's clock."""
    return Clock()


@pytest.fixture
def run(tmp_path, clock):
    """A run whose first task has been in its first layer for 10 s."""
    directory = create(tmp_path / "runs", "small")
    write_json_atomically(directory.plan_file, SMALL_PLAN)
    note(directory, clock, "job_started", job="small", ranks=4, policy="variable")
    note(directory, clock, "layer_started", task="a", layer=0, layers=2, first_rank=0, ranks=4)
    progress = {"layer": 0, "epoch": 0, "loss": 0.5, "samples_per_second": 640.0, "fraction": 0.5, "step": 50}
    node = {"host": "vm", "ranks": [0, 3], "count": 4, "age": 0.5, "load": 2.5, "memory_available": 8 * GIB}
    write_json_atomically(
        directory.status_file,
        {
            "written": START + 10,
            "seconds_between_heartbeats": 5.0,
            "tasks": {"a": {"progress": {**progress, "steps_per_second": 5.0}}, "b": {"progress": None}},
            "nodes": [{**node, "rss": 2 * GIB, "cpu": 3.5}, {"host": "vm2", "ranks": [4, 4], "count": 1}],
            "rank_heartbeats": [{"rank": 0, "age": 0.5, "task": "a"}],
        },
    )
    return directory


def note(directory, clock, name, **fields):
    """Add an event to the ledger."""
    with Ledger(directory.ledger_file, clock) as ledger:
        ledger.append(event(name, **fields))


def shown(status, width=80):
    """Returns the text that a person sees."""
    console = Console(file=io.StringIO(), width=width)
    console.print(status_view(status))
    return console.file.getvalue()


def test_a_running_job(run):
    """The ledger says what runs, the status file how far it is; nothing is stale."""
    status = read_status(run.path, START + 12)
    text = shown(status)

    assert (status["status"], status["silent"], status["age"]) == ("running", False, 2.0)
    assert status["tasks"]["a"]["progress"]["step"] == 50
    assert status["tasks"]["a"]["seconds_left_of_layer"] == pytest.approx(10.0)
    assert status["nodes"][0]["age"] == pytest.approx(2.5)
    assert "small: running, 0 of 2 tasks complete, 4 ranks, 12 s" in text
    assert "left (the plan, scaled by the pace so far)" in text
    assert [line.split() for line in text.splitlines() if line.startswith(("a ", "b ", "vm"))] == [
        ["a", "running", "0/2", "━━", "25%", "0-3", "5", "in", "10", "s"],
        ["b", "waiting", "0/1", "0%", "-", "-", "-"],
        ["vm", "0-3", "2.5", "3.5", "2.0", "GiB", "8.0", "GiB"],
        ["vm2", "4", "-", "-", "-", "-", "no", "heartbeat", "yet"],
    ]
    assert max(map(len, text.splitlines())) <= 80


def test_a_silent_run(run):
    """A run without an end whose last word is old is said to be so, with its age; times are those of then."""
    status = read_status(run.path, START + 210)
    text = shown(status)

    assert (status["silent"], status["age"], status["seconds"]) == (True, 200.0, 10.0)
    assert status["nodes"][0]["stale"]
    assert "no update for 3 min 20 s: it may have been killed" in text
    assert "3 min 20 s old" in text
    assert "left" not in text.splitlines()[1]


def test_without_a_status_file(run):
    """The ledger alone tells what is done; steps and nodes are not known."""
    run.status_file.unlink()
    status = read_status(run.path, START + 12)

    assert (status["tasks"]["a"]["status"], status["tasks"]["a"]["progress"]) == ("running", None)
    assert status["nodes"] == []
    assert "a " in shown(status)


@pytest.mark.parametrize(("seconds", "silent"), [(30.0, False), (30.5, True)])
def test_a_run_without_a_status_file_is_silent_after_30_seconds(run, seconds, silent):
    """A ledger alone may be as old as a heartbeat before its rank is suspected."""
    run.status_file.unlink()

    assert read_status(run.path, START + seconds)["silent"] is silent


def test_word_of_an_earlier_layer_is_none(run, clock):
    """The status file may be older than the ledger: what it says of a layer that has ended does not count."""
    clock.now = START + 11
    note(run, clock, "layer_ended", task="a", layer=0, ranks=4)
    note(run, clock, "layer_started", task="a", layer=1, layers=2, first_rank=0, ranks=4)
    task = read_status(run.path, START + 12)["tasks"]["a"]

    assert (task["layers_done"], task["layer"], task["progress"]) == (1, 1, None)


def test_an_ended_run(run, clock):
    """It shows its end and the reasons, however long ago that was."""
    clock.now = START + 20
    note(run, clock, "task_ended", task="a", status="failed", message="boom")
    note(run, clock, "job_ended", status="failed", seconds=20.0)
    status = read_status(run.path, START + 1e6)
    text = shown(status)

    assert (status["silent"], status["seconds"], status["ended"]) == (False, 20.0, START + 20)
    assert "small: failed, 0 of 2 tasks complete" in text
    assert "a failed: boom" in text


def test_a_suspect_rank_is_shown(run, clock):
    """With what it was at."""
    note(run, clock, "rank_suspected", rank=2, seconds=31.0, task="a", layer=0, step=40)

    assert "rank 2 is suspect: it sends no heartbeats, at task a, layer 0" in shown(read_status(run.path, START + 12))


def test_thousands_of_tasks(run):
    """Those that run and those that failed are shown; the others are counted."""
    many = {
        **SMALL_PLAN,
        "tasks": [{**SMALL_PLAN["tasks"][0], "name": name} for name in ["a", *(f"t{i}" for i in range(5000))]],
    }
    write_json_atomically(run.plan_file, many)
    text = shown(read_status(run.path, START + 12))

    assert len(text.splitlines()) < MOST_ROWS + 12
    assert "\na  " in text
    assert f"and {5001 - MOST_ROWS} waiting; --json has all" in text


def test_a_submission_that_has_not_begun(tmp_path):
    """A run that waits in the queue of a batch system has no word yet, so that it cannot be silent either."""
    waiting = create(tmp_path / "runs", "small")
    waiting.job_file.write_text("name: small")
    write_json_atomically(waiting.path / "submission.json", {"jobs": ["7"], "kind": "run"})
    status = read_status(waiting.path)

    assert (status["age"], status["silent"], status["attempt"]) == (None, False, 0)


def test_the_busiest_nodes_are_shown(run):
    """Of more nodes than rows, those with the largest load stay, in their order."""
    status = read_status(run.path, START + 12)
    count = MOST_ROWS + 5
    loads = {f"n{k:02}": float(7 * k % count) + 0.5 for k in range(count)}
    status["nodes"] = [{**status["nodes"][0], "host": host, "load": load} for host, load in loads.items()]
    text = shown(status, width=120)
    hidden = [host for host in loads if host not in text]

    assert sorted(loads[host] for host in hidden) == [0.5, 1.5, 2.5, 3.5, 4.5]


def test_an_attempt_that_slurm_was_not_asked_about(run):
    """A sentence on the run needs no reply of Slurm; with one that failed, the reason is shown."""
    status = {**read_status(run.path, START + 12), "sentence": "it waits", "state": "waiting", "over": False}
    failed = {"answered": False, "problems": ["no controller"], "age": 0.0}

    assert "it waits" in shown({**status, "slurm": None})
    assert "Slurm did not answer: no controller" in shown({**status, "slurm": failed})


def test_what_is_no_run_is_refused(run, tmp_path):
    """The message says what is missing."""
    with pytest.raises(InputError, match=r"no run directory: it has neither plan\.json nor events\.jsonl"):
        read_status(tmp_path)
    run.plan_file.write_text("{")
    with pytest.raises(InputError, match="no plan in it"):
        read_status(run.path)
    write_json_atomically(run.plan_file, {"tasks": [{}]})
    with pytest.raises(InputError, match="no plan that this version"):
        read_status(run.path)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "0 s"),
        (59, "59 s"),
        (200, "3 min 20 s"),
        (7500, "2 h 05 min"),
        (100_000, "1 d 03 h"),
        (2_250_000, "26 d 01 h"),
        (59.7, "60 s"),
    ],
)
def test_durations(seconds, text):
    """Two units at most."""
    assert duration(seconds) == text


@pytest.mark.parametrize(("layers_done", "share"), [(0, 0.4), (1, 0.25)])
def test_the_kept_part_of_a_layer_is_in_the_status_file(run, layers_done, share):
    """A layer that was stopped goes on from its kept part, which is ignored if it is of another layer."""
    live = json.loads(run.status_file.read_text())
    live["tasks"]["a"] |= {"kept": 0.6, "layers_done": layers_done}
    write_json_atomically(run.status_file, live)

    assert read_status(run.path, START + 12)["tasks"]["a"]["fraction"] == pytest.approx(share)

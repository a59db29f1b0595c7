"""A running job is changed through its run directory, by commands of their own, and what it makes stays exact."""

import json

import h5py
import numpy as np
import pytest
import yaml
from jobs import family, family_task
from runs import PROGRAM, run_python

from hpcmtl.results.rundir.requests import new_request, submit

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


CODE = """
def tally(context):
    return {"arrays": len(context.parameters("extra"))}
"""


def steer(run, *words):
    """Run a verb on a run and return what came of it."""
    verb, *rest = words
    return run_python(run.folder, *PROGRAM[1:], verb, run.directory.name, *rest, "--timeout", "60")


def task_file(run, name, **changes):
    """A file of tasks with data and code of its own, in a folder beside the job's."""
    folder = run.folder / "more"
    folder.mkdir(exist_ok=True)
    (folder / "added_code.py").write_text(CODE)
    extra = {**digit(epochs=2, layers=2, priority=5), "input": "copy/images", "target": "copy/digit"}
    tally = {"kind": "python", "callable": "added_code:tally", "needs": {name: "parameters"}, "priority": 5}
    tasks = {name: {**extra, "needs": {"later": "order"}, **changes}, f"{name}_tally": tally}
    file = folder / f"{name}.yaml"
    file.write_text(yaml.safe_dump({"data": {"copy": "../digits.h5"}, "tasks": tasks}))
    return str(file.relative_to(run.folder))


def digit(**changes):
    """A train task on both ranks; 30 epochs take some seconds."""
    return family_task("digit", input="digits/images", ranks=2, **changes)


def parameters(run, task):
    """Returns the arrays that a task published, by name."""
    with h5py.File(run.directory / "artifacts" / f"{task}.h5", locking=False) as file:
        found = {}
        file.visititems(lambda name, item: found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
    return found


def assert_equal(one, other):
    """Two sets of arrays are the same to the last bit."""
    assert one.keys() == other.keys()
    assert all(np.array_equal(one[name], other[name]) for name in one)


def events_of(run, event, task):
    """Events of one kind on one task."""
    return [found for found in run.events if found["event"] == event and found.get("task") == task]


def test_a_job_is_steered(start):
    """Every verb does what it says, the ledger tells, and weights are those of an unsteered run."""
    faster = {"name": "adam", "learning_rate": 0.01}
    tasks = {
        "first": digit(epochs=240, layers=12, priority=1),  # it must run until two commands have
        "later": digit(epochs=2, layers=2),
        "spoilt": digit(epochs=3000, layers=100, needs={"later": "order"}),
        "after": {"kind": "predict", "needs": {"spoilt": "parameters"}},
        "urgent": digit(epochs=1, layers=1),
    }
    run = start(family(ranks=2, tasks=tasks)).until_event("layer_started", task="first")
    submit(run.directory / "requests", new_request("pause", "urgent"))
    said = [steer(run, "set", "later", "learning_rate=0.01"), steer(run, "pause", "first")]
    refused = steer(run, "pause", "first")
    run.until_event("layer_started", task="spoilt")
    said.append(steer(run, "add", task_file(run, "extra")))
    odd = steer(run, "add", task_file(run, "odd", freeze=["none*"]))
    run.until_event("task_ended", task="extra_tally")
    said.append(steer(run, "cancel", "spoilt"))
    run.until_event("job_paused", tasks=["first", "urgent"])
    said.append(steer(run, "unpause", "first"))
    for request in (new_request("set", "urgent", {"priority": 9}), new_request("unpause", "urgent")):
        submit(run.directory / "requests", request)
    run.finish()
    plain = start(family(ranks=2, tasks={"first": tasks["first"], "later": {**tasks["later"], "optimizer": faster}}))
    plain.finish()

    assert [done.returncode for done in said] == [0] * 5, said
    assert (refused.returncode, "first is paused already" in refused.stderr) == (2, True)
    assert [event["verb"] for event in run.events if event["event"] == "request_accepted"] == [
        "pause",
        "set",
        "pause",
        "add",
        "cancel",
        "unpause",
        "set",
        "unpause",
    ]
    assert len(events_of(run, "request_refused", "first")) == 1
    assert run.returncode == 1, run.said
    assert run.results["status"] == "incomplete"
    assert {name: task["status"] for name, task in run.results["tasks"].items()} == {
        "first": "complete",
        "later": "complete",
        "spoilt": "cancelled",
        "after": "skipped",
        "extra": "complete",
        "extra_tally": "complete",
        "urgent": "complete",
    }
    assert run.results["tasks"]["after"]["message"] == "needs spoilt, which was cancelled"
    stops = [event["task"] for event in run.events if event["event"] == "layer_stopped"]
    assert sorted(stops) in ([], ["first"], ["first", "spoilt"], ["spoilt"])  # a layer may end before it can stop
    assert [event["learning_rate"] for event in events_of(run, "learning_rate_changed", "later")] == [0.01]
    assert plain.returncode == 0, plain.said
    for task in ("first", "later"):
        assert_equal(parameters(run, task), parameters(plain, task))
    assert (odd.returncode, "matches no parameter" in odd.stderr) == (2, True)
    assert run.results["tasks"]["extra_tally"]["metrics"]["arrays"] > 0
    assert "odd" not in yaml.safe_load((run.directory / "job.yaml").read_text())["tasks"]
    assert "extra" in {task["name"] for task in json.loads((run.directory / "plan.json").read_text())["tasks"]}
    order = [event["task"] for event in run.events if event["event"] == "layer_started"]
    for high, low in (("extra", "spoilt"), ("urgent", "first")):  # on a full machine, between two layers
        place = order.index(high)
        assert order[place - 1] == low
        assert low in order[place:]
    over = steer(run, "unpause", "first")
    assert (over.returncode, "the run has ended (incomplete)" in over.stderr) == (3, True), over.stderr

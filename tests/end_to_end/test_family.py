"""A family of every kind of task, on 1 to 4 ranks, started in every way: all of it completes, and gives the same."""

import json
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import h5py
import pytest
from jobs import family
from runs import ABORTING, PROGRAM, by_mpirun

from hpcmtl.data.hdf5 import describe

pytestmark = [pytest.mark.timeout(600), pytest.mark.slow]

# How each number of ranks is started: by the command itself, by mpirun with and without mpi4py's own guard.
STARTED_BY = {1: PROGRAM, 2: by_mpirun(2, ABORTING), 3: by_mpirun(3, PROGRAM), 4: PROGRAM}
STEPS = {"trunk": 60, "digit": 120, "parity": 120, "joint": 100}
KINDS = {name: task["kind"] for name, task in family()["tasks"].items()}


@pytest.fixture(scope="module")
def on(start_once):
    """The family on so many ranks, run once for all tests of this module."""
    runs = {}

    def run(ranks):
        if ranks not in runs:
            job = family(ranks=ranks)
            for wide in ("trunk", "joint"):
                job["tasks"][wide]["ranks"] = ranks
            runs[ranks] = start_once(job, STARTED_BY[ranks]).finish()
        return runs[ranks]

    return run


def spans(run, task):
    """(start, end, ranks) of the layers of a task."""
    found, begun = [], None
    for event in run.events:
        time = datetime.fromisoformat(event["time"])
        if event.get("task") == task and event["event"] == "layer_started":
            begun = (time, set(range(event["first_rank"], event["first_rank"] + event["ranks"])))
        elif event.get("task") == task and event["event"] == "layer_ended":
            found.append((begun[0], time, begun[1]))
    return found


NUMBERS = [pytest.param(ranks, marks=[] if ranks == 2 else pytest.mark.slow) for ranks in (1, 2, 3, 4)]


@pytest.mark.parametrize("ranks", NUMBERS)
def test_everything_completes(on, ranks):
    """Every task completes with the expected steps; the exit code, the table and results.json agree on it."""
    run = on(ranks)
    tasks = run.results["tasks"]

    assert run.returncode == 0, run.said
    assert (run.results["status"], run.results["ranks"]) == ("complete", ranks)
    assert {name: task["status"] for name, task in tasks.items()} == dict.fromkeys(KINDS, "complete")
    assert {name: tasks[name]["steps"] for name in STEPS} == STEPS, (run.said, run.events)
    assert {name: task["kind"] for name, task in tasks.items()} == KINDS
    assert "family: complete, 8 of 8 tasks complete" in run.stdout
    assert run.leftovers() == []


@pytest.mark.parametrize("ranks", NUMBERS)
def test_engines(on, ranks):
    """Groups of several ranks train by Horovod, with fp16 where it was asked for, and the results say why."""
    tasks = on(ranks).results["tasks"]
    alone = ("local", "the group has one rank")

    for name in STEPS:
        expected = alone if tasks[name]["ranks"][0] == 1 else ("horovod", "asked for")
        assert (tasks[name]["engine"], tasks[name]["engine_reason"]) == expected, name
    assert tasks["trunk"]["ranks"] == [ranks, ranks]
    assert tasks["joint"]["compression"] == ("none (one rank)" if ranks == 1 else "fp16")
    assert tasks["digit"]["compression"] == "none"


@pytest.mark.parametrize("ranks", NUMBERS)
def test_quality(on, ranks):
    """The joint task learns both things on any number of ranks, and every sample gets one prediction."""
    run = on(ranks)
    report = run.results["tasks"]["report"]["metrics"]
    votes = h5py.File(run.directory / "artifacts" / "census.h5", locking=False)["votes"][()]

    assert report["digit.accuracy"] > 0.85
    assert report["parity.accuracy"] > 0.93
    assert report["digit.auc"] > 0.98
    assert run.results["tasks"]["census"]["metrics"] == {"samples": 1797}
    assert votes.sum() == 1797


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [2, 3, 4])
def test_the_number_of_ranks_changes_little(on, ranks):
    """Metrics are those of one rank, but for rounding and fp16."""
    alone, together = on(1).results["tasks"], on(ranks).results["tasks"]

    assert together["trunk"]["metrics"]["loss"] == pytest.approx(alone["trunk"]["metrics"]["loss"], rel=0.02)
    for name, value in alone["report"]["metrics"].items():
        assert together["report"]["metrics"][name] == pytest.approx(value, abs=0.03), name


def test_validations_of_each_layer_are_kept(on):
    """Every layer that ends keeps its newest metrics in the ledger, and results.json has those of the last one."""
    run = on(2)
    ended = {}
    for event in run.events:
        if event["event"] == "layer_ended":
            ended.setdefault(event["task"], []).append(event["metrics"])
    results = run.results["tasks"]

    assert {name: layers[-1] for name, layers in ended.items()} == {
        name: each["metrics"] for name, each in results.items()
    }
    assert max(len(layers) for layers in ended.values()) > 1
    assert all("val_accuracy" in layer for name in ("digit", "parity") for layer in ended[name])


@pytest.mark.parametrize("ranks", NUMBERS[1:])
def test_independent_tasks_overlap(on, ranks):
    """Two heads that need the same features train at the same time, on ranks of their own."""
    run = on(ranks)
    meetings = [
        (first, second)
        for first in spans(run, "digit")
        for second in spans(run, "parity")
        if max(first[0], second[0]) < min(first[1], second[1])
    ]

    assert meetings, run.events
    assert all(not first[2] & second[2] for first, second in meetings)


@pytest.mark.parametrize("ranks", NUMBERS)
def test_run_directory(on, ranks):
    """A run leaves what the design names: each file is there, whole and parsable, and nothing else is."""
    run = on(ranks)
    directory = run.directory
    environment = json.loads((directory / "environment.json").read_text())
    plan = json.loads((directory / "plan.json").read_text())
    names = {"artifacts", "checkpoints", "environment.json", "events.jsonl", "job.yaml", "logs", "plan.json"}

    assert {path.name for path in directory.iterdir()} == names | {
        "code.json",
        "curves",
        "data.json",
        "report.html",
        "requests",
        "results.json",
        "status.json",
    }
    assert {path.name for path in (directory / "logs").iterdir()} == {f"rank.{n:03d}.log" for n in range(ranks)}
    assert [Path(path).name for path in json.loads((directory / "code.json").read_text())] == ["user_code.py"]
    assert {path.stem for path in (directory / "curves").iterdir()} == {"trunk", "digit", "parity", "joint"}
    assert plan["ranks"] == ranks
    assert len(environment["hosts"]) == ranks
    assert environment["versions"]["mxnet"] == "1.9.1"
    assert [run.events[0]["event"], run.events[-1]["event"]] == ["job_started", "job_ended"]
    for name in KINDS.keys() - {"report"}:
        assert (directory / "artifacts" / f"{name}.h5").exists()
    for name, task in run.results["tasks"].items():
        if task["kind"] != "python":
            layers = sorted(path.name for path in (directory / "checkpoints" / name).iterdir())
            trains = task["kind"] in {"train", "joint"}  # of which the newest states are kept, of others all parts
            count = min(task["layers"], 2) if trains else task["layers"]
            assert len([name for name in layers if name.startswith("step-" if trains else "layer-")]) == count
            assert len(layers) == count
    assert describe(directory / "artifacts" / "features.h5").datasets["values"].shape == (24,)


@pytest.mark.parametrize("ranks", NUMBERS)
def test_streams(on, ranks):
    """Away from a terminal stdout is the table alone and stderr plain lines: no colours, no bars, no warnings."""
    run = on(ranks)
    progress = [line for line in run.stderr.splitlines() if "samples/s" in line]

    assert "\x1b" not in run.stdout + run.stderr
    assert run.stdout.startswith("task ")
    assert all(line.startswith("hpcmtl: ") for line in run.stderr.splitlines()), run.stderr
    assert [line for line in run.stderr.splitlines() if " complete after " in line] != []
    assert len(progress) <= run.seconds / 10 + 1


@pytest.mark.slow
def test_a_measured_run_is_found_by_name(on):
    """`--measured` takes the path of a run, its job's name, and latest."""
    run = on(2)
    words = [sys.executable, "-m", "hpcmtl", "plan", str(run.directory / "job.yaml"), "--json"]

    def planned(name):
        command = [*words, "--runs", str(run.directory.parent), "--measured", name]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        return json.loads(done.stdout)["tasks"]

    expected = planned(str(run.directory))
    names = (run.directory.name, run.results["job"], "latest")

    assert [planned(name) == expected for name in names] == [True] * 3


@pytest.mark.slow
def test_the_next_run_is_predicted(on):
    """A plan from what a run took predicts that tasks take as long again, and says where it has it from."""
    run = on(2)
    command = [
        sys.executable,
        "-m",
        "hpcmtl",
        "plan",
        str(run.directory / "job.yaml"),
        "--measured",
        str(run.directory),
    ]

    def planned(*words):
        return subprocess.run([*command, *words], capture_output=True, text=True, timeout=60, check=True).stdout

    tasks = {task["name"]: task for task in json.loads(planned("--json"))["tasks"]}
    took = dict.fromkeys(KINDS, 0.0)
    for event in run.events:
        if event["event"] == "layer_ended":
            took[event["task"]] += event["seconds"]

    for name in ("trunk", "joint"):  # which have the same ranks in each run
        assert 0.6 < (tasks[name]["end"] - tasks[name]["start"]) / took[name] < 1.6, name  # 3 to 5 without measurements
    assert "measured on" in planned("--explain", "trunk")

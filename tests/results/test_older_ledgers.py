"""Runs whose ledgers earlier versions wrote can be shown, read and resumed."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from events import event
from runs import PROGRAM

from hpcmtl.cli.app import main
from hpcmtl.data.hdf5 import write_dataset_file
from hpcmtl.results import events, ledger
from hpcmtl.results.run_state import read_run_state

DATA = Path(__file__).parent / "data"

# One line of format 1 for each event or field that has another name now, and the event of this version.
RENAMED = [
    ({"event": "rank_suspect", "rank": 1, "seconds": 31.0}, events.RankSuspected(rank=1, seconds=31.0)),
    ({"event": "rank_back", "rank": 1, "seconds": 40.0}, events.RankRecovered(rank=1, seconds=40.0)),
    (
        {"event": "rate_taken", "task": "a", "layer": 1, "step": 9, "learning_rate": 0.1},
        events.LearningRateChanged(task="a", layer=1, step=9, learning_rate=0.1),
    ),
    ({"event": "stopping", "reason": "why"}, events.JobStopping(reason="why")),
    ({"event": "job_waits", "tasks": ["a"]}, events.JobPaused(tasks=("a",))),
    (
        {"event": "rank_hung", "rank": 1, "host": "h", "seconds": 90.0, "doing": "nothing", "killer": 0},
        events.RankHung(rank=1, host="h", seconds=90.0, doing="nothing", fenced_by=0),
    ),
    (
        {
            "event": "layer_ended",
            "task": "a",
            "layer": 0,
            "ranks": 2,
            "steps": 3,
            "data_wait": 0.5,
            "handover_seconds": 0.1,
            "predicted_seconds": 1.0,
        },
        events.LayerEnded(
            task="a",
            layer=0,
            ranks=2,
            steps=3,
            predicted_seconds=1.0,
            facts={"data_wait": 0.5, "transfer_seconds": 0.1},
        ),
    ),
]
STARTED = {"event": "job_started", "job": "small", "ranks": 2, "policy": "variable", "host": "h"}


@pytest.fixture
def old_run(tmp_path):
    """Copies of the runs in `data`, with the data file of their job in the same folder."""
    digit = np.arange(240) % 3
    noise = np.random.default_rng(5).random((240, 1, 4, 4))
    images = (noise + digit[:, None, None, None] * 0.3).astype(np.float32)
    write_dataset_file(tmp_path / "small.h5", {"images": images, "digit": digit}, np.arange(240) // 3 % 5 // 4 * 2)

    def copy(name):
        path = Path(shutil.copytree(DATA / name, tmp_path / "runs" / name))
        job = (path / "job.yaml").read_text(encoding="utf-8")
        (path / "job.yaml").write_text(job.replace("@FOLDER@", str(tmp_path)), encoding="utf-8")
        return path

    return copy


def written(path, *lines):
    """A ledger with these lines."""
    text = "".join(json.dumps({"time": "2026-01-01T00:00:00.000+00:00", **line}) + "\n" for line in lines)
    path.write_text(text, encoding="utf-8")
    return path


def said(monkeypatch, capsys, *words):
    """Exit code and output of a command."""
    monkeypatch.setattr(sys, "argv", ["hpcmtl", *map(str, words)])
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as left:
        main()
    return left.value.code or 0, capsys.readouterr().out


@pytest.mark.parametrize(("line", "expected"), RENAMED, ids=[line["event"] for line, _ in RENAMED])
def test_format_1_is_upgraded(tmp_path, line, expected):
    """Events of a ledger without a format have the names and fields of this version once they are read."""
    old = written(tmp_path / "old", STARTED, line)

    assert [entry.event for entry in ledger.read_events(old)][1:] == [expected]


def test_format_2_is_upgraded(tmp_path):
    """The seconds of a transfer have the name of this version, other facts of a layer stay as they are."""
    layer = {"event": "layer_ended", "task": "a", "layer": 0, "ranks": 2, "steps": 3}
    old = written(
        tmp_path / "old", {**STARTED, "format": 2}, {**layer, "facts": {"data_wait": 0.5, "handover_seconds": 0.1}}
    )

    assert ledger.read_events(old)[-1].event.facts == {"data_wait": 0.5, "transfer_seconds": 0.1}


def test_a_resumed_ledger_has_both_formats(tmp_path):
    """Each attempt's events are read in the format of its `job_started`."""
    both = written(
        tmp_path / "both",
        STARTED,
        {"event": "stopping", "reason": "one"},
        {**STARTED, "format": 2},
        {"event": "job_stopping", "reason": "two"},
    )
    found = [entry.event for entry in ledger.read_events(both)]

    assert [each.reason for each in found if isinstance(each, events.JobStopping)] == ["one", "two"]
    assert [attempt.number for attempt in read_run_state(both).attempts] == [1, 2]


def test_events_of_a_newer_version_are_passed_over(tmp_path, caplog):
    """Unknown events are named once for each file, unknown fields of known events are ignored."""
    newer = written(
        tmp_path / "newer",
        {**STARTED, "format": events.FORMAT + 1, "colour": "red"},
        {"event": "moon_risen", "height": 3},
        {"event": "moon_set"},
        {"event": "job_stopping", "reason": "why", "phase": "full"},
    )
    found = [entry.event for entry in ledger.read_events(newer)]
    again = ledger.read_events(newer)

    assert [each.name for each in found] == ["job_started", "job_stopping"]
    assert len(again) == 2
    assert caplog.text.count("events of a newer version of hpcmtl are passed over: moon_risen, moon_set") == 1


def test_what_is_written_now_says_its_format(tmp_path):
    """The ledger of this version has its format in `job_started`."""
    with ledger.Ledger(tmp_path / "new") as new:
        new.append(event("job_started", job="j", ranks=1))

    assert ledger.read(tmp_path / "new")[0]["format"] == events.FORMAT


def test_status_of_old_runs(old_run, monkeypatch, capsys):
    """A complete and a stopped run of an earlier version are shown as they ended."""
    complete = said(monkeypatch, capsys, "status", old_run("format1_complete"))
    stopped = said(monkeypatch, capsys, "status", old_run("format1_stopped"))

    assert complete[0] == stopped[0] == 0
    assert "small: complete, 2 of 2 tasks complete, 2 ranks" in complete[1]
    assert "small: stopped, 0 of 2 tasks complete, 2 ranks" in stopped[1]


def test_logs_of_old_runs(old_run, monkeypatch, capsys):
    """Logs of an earlier version are found, by task as well."""
    run = old_run("format1_stopped")
    code, out = said(monkeypatch, capsys, "logs", run)
    of_task = said(monkeypatch, capsys, "logs", run, "--task", "digit")[1].splitlines()

    assert code == 0
    assert "2 ranks on 1 node" in out
    assert any("rank=1 layer=digit/1" in line and "20 steps" in line for line in of_task)


@pytest.mark.slow
@pytest.mark.mpi
def test_an_old_run_is_resumed(old_run, start, tmp_path):
    """A run that an earlier version stopped goes on from its checkpoint, and its finished layer is not run again."""
    path = old_run("format1_stopped")
    run = start.again(tmp_path, PROGRAM, ["resume", str(path)]).finish(120)
    found = ledger.read(path / "events.jsonl")
    done = [(each["task"], each["layer"]) for each in found if each["event"] == "layer_ended"]
    second = [each["steps"] for each in found if each["event"] == "layer_ended" and each["layer"] == 1]

    assert run.returncode == 0, run.said
    assert done == [("digit", 0), ("digit", 1), ("digit", 2), ("digit", 3), ("outputs", 0)]
    assert second == [220]  # of 240: the other 20 were done before the stop
    assert json.loads((path / "results.json").read_text(encoding="utf-8"))["status"] == "complete"


@pytest.mark.slow
@pytest.mark.mpi
def test_a_complete_old_run_has_nothing_to_do(old_run, start, tmp_path):
    """Resuming a run that an earlier version completed shows its record and ends well."""
    path = old_run("format1_complete")
    before = (path / "events.jsonl").read_bytes()
    run = start.again(tmp_path, PROGRAM, ["resume", str(path)]).finish(120)

    assert run.returncode == 0, run.said
    assert "small: complete, 2 of 2 tasks complete" in run.stdout
    assert (path / "events.jsonl").read_bytes() == before

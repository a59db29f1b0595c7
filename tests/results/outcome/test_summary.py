from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from hpcmtl.results.outcome.summary import JobResult, TaskResult, print_table, to_dict
from hpcmtl.results.rundir.directory import write_json_atomically

RESULT = JobResult(
    job="digits",
    status="failed",
    started="2024-05-01T10:00:00+02:00",
    seconds=83.21,
    ranks=4,
    tasks=(
        TaskResult(
            "trunk",
            "train",
            "complete",
            layers=3,
            ranks=(4, 4, 2),
            engine="horovod",
            engine_reason="asked for",
            compression="fp16",
            seconds=40.2,
            steps=1200,
            metrics={"mse": 0.0123456},
        ),
        TaskResult("features", "extract", "complete", layers=1, ranks=(4,), seconds=2.25),
        TaskResult(
            "digit",
            "train",
            "failed",
            layers=1,
            ranks=(1,),
            engine="local",
            seconds=3.0,
            metrics={"accuracy": 0.9, "auc": None},
            undefined={"auc": "one class"},
            message="the loss became NaN in layer 2",
        ),
        TaskResult("joint[all]", "joint", "skipped", message="needs digit, which failed"),
    ),
)


def rendered(result, **console):
    """Return what a person sees, trailing blanks removed."""
    stream = io.StringIO()
    print_table(result, Console(file=stream, **console))
    return [line.rstrip() for line in stream.getvalue().splitlines()]


def test_a_task_is_found_by_its_name():
    """A result is asked by the name of a task; a wrong name has a hint."""
    assert RESULT["trunk"].metrics == {"mse": 0.0123456}
    with pytest.raises(KeyError, match="there is no task 'digti'; did you mean 'digit'"):
        RESULT["digti"]


def test_the_table_of_a_batch_log():
    """Plain ASCII without colour, brackets in names taken literally, all reasons below."""
    lines = rendered(RESULT, width=80)

    assert lines == [
        "task        status    layers  ranks  engine   seconds  metrics",
        "trunk       complete       3  4, 2   horovod     40.2  mse 0.01235",
        "features    complete       1  4      -            2.2  -",
        "digit       failed         1  1      local        3.0  accuracy 0.9",
        "                                                       auc -",
        "joint[all]  skipped        0  -      -            0.0  -",
        "",
        "digits: failed, 2 of 4 tasks complete, 4 ranks, 83.2 s",
        "digit failed: the loss became NaN in layer 2",
        "joint[all] skipped: needs digit, which failed",
        "digit: auc has no value: one class",
    ]
    assert "\n".join(lines).isascii()


def test_a_terminal_gets_colour_and_no_color_takes_it_away():
    """The words are the same in both."""
    coloured = "\n".join(rendered(RESULT, width=80, force_terminal=True, color_system="standard", _environ={}))
    bare = "\n".join(rendered(RESULT, width=80, force_terminal=True, _environ={"NO_COLOR": "1"}))

    assert "\x1b[32mcomplete" in coloured
    assert "\x1b[3" not in bare
    assert "complete" in bare


def test_a_narrow_terminal_folds_and_loses_nothing():
    """A name that finds no room goes on in the next line."""
    name = "a_task_with_a_name_that_is_rather_long"
    result = JobResult("j", "complete", "t", 1.0, 1, (TaskResult(name, "train", "complete"),))
    lines = rendered(result, width=50)

    assert max(map(len, lines)) <= 50
    assert "".join(line.split(" ")[0] for line in lines[: lines.index("")]) == "task" + name


def test_what_stopped_a_job_is_said():
    """A reason that is no task's fault stands below the status, and one rank is not `1 ranks`."""
    result = JobResult("digits", "stopped", "t", 5.0, 1, (), message="time limit: resume with the same command")

    assert rendered(result, width=80)[-2:] == [
        "digits: stopped, 0 of 0 tasks complete, 1 rank, 5.0 s",
        "time limit: resume with the same command",
    ]


def test_a_long_reason_stays_in_one_line():
    """A reason that is longer than the terminal is wide is not folded, so that it can be searched and copied."""
    reason = "the loss became NaN in layer 2, at the learning rate 0.5"
    result = JobResult("j", "stopped", "t", 5.0, 1, (TaskResult("a", "train", "failed", message=reason),))

    assert rendered(result, width=40)[-1] == f"a failed: {reason}"


def test_results_json_has_every_field(tmp_path):
    """Tasks are found by name; a metric without a value is null, with its reason."""
    write_json_atomically(tmp_path / "results.json", to_dict(RESULT))
    back = json.loads((tmp_path / "results.json").read_text())

    assert (back["job"], back["status"], back["ranks"], back["seconds"]) == ("digits", "failed", 4, 83.21)
    assert list(back["tasks"]) == ["trunk", "features", "digit", "joint[all]"]
    assert back["tasks"]["trunk"] == {
        "kind": "train",
        "status": "complete",
        "layers": 3,
        "ranks": [4, 4, 2],
        "engine": "horovod",
        "engine_reason": "asked for",
        "compression": "fp16",
        "seconds": 40.2,
        "steps": 1200,
        "metrics": {"mse": pytest.approx(0.0123456)},
        "undefined": {},
        "tables": {},
        "message": "",
        "affinity": None,
    }
    assert back["tasks"]["digit"]["metrics"] == {"accuracy": 0.9, "auc": None}
    assert back["tasks"]["digit"]["undefined"] == {"auc": "one class"}


def test_complete_tasks_are_counted():
    """The line below the table counts the tasks that are complete, and none with another status."""
    statuses = ("complete", "failed", "stopped", "cancelled", "skipped")
    result = JobResult("j", "failed", "t", 1.0, 2, tuple(TaskResult(each, "train", each) for each in statuses))

    assert rendered(result, width=80)[-1] == "j: failed, 1 of 5 tasks complete, 2 ranks, 1.0 s"

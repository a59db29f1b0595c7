"""Origins in earlier runs become tasks of their own, one for each run and task that a joint task names."""

from __future__ import annotations

import pytest

from hpcmtl.errors import InputError
from hpcmtl.jobfile.earlier_runs import with_earlier_runs
from hpcmtl.jobfile.load import parse_job

OLD, OWN = {"run": "runs/a", "task": "t"}, {"run": "runs/b"}


def test_each_origin_is_one_task():
    """Trunk and head of one task share it, another run has another name, and edges lead to both."""
    heads = {"a": {"from": OLD, "part": "heads.a"}, "b": {"from": {**OLD, "run": "runs/c"}}, "c": {"from": OWN}}
    joint = {"kind": "joint", "needs": ["before"], "trunk": {"from": OLD, "part": "trunk"}, "heads": heads}
    tasks = with_earlier_runs({"tasks": {"before": {}, "j": joint}})["tasks"]

    assert list(tasks) == ["before", "j.from.t", "j.from.t.2", "j.from.j", "j"]
    assert tasks["j.from.t"] == {"kind": "pretrained", "run": "runs/a", "task": "t"}
    assert tasks["j.from.t.2"]["run"] == "runs/c"
    assert tasks["j.from.j"] == {"kind": "pretrained", "run": "runs/b", "task": "j"}
    assert tasks["j"]["trunk"] == {"from": "j.from.t", "part": "trunk"}
    assert [each["from"] for each in tasks["j"]["heads"].values()] == ["j.from.t", "j.from.t.2", "j.from.j"]
    assert list(tasks["j"]["needs"].items()) == [
        ("before", "order"),
        ("j.from.t", "parameters"),
        ("j.from.t.2", "parameters"),
        ("j.from.j", "parameters"),
    ]


@pytest.mark.parametrize("raw", [None, {"tasks": 3}, {"tasks": {"a": {"trunk": {"from": "b"}, "heads": [1]}}}])
def test_other_values_stay(raw):
    """Values without an origin in an earlier run, and those that are no job, are left to the checks."""
    assert with_earlier_runs(raw) == raw


def test_a_run_that_is_not_there(digits):
    """The task that is made has the message, with what to name."""
    digits["tasks"]["joint"]["heads"]["digit"] = {"from": OLD}
    with pytest.raises(InputError, match="name a run directory, or an artifact in one") as raised:
        parse_job(digits)

    assert "job: tasks.joint.from.t.run" in {each.where for each in raised.value.problems}

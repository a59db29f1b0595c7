"""A joint task with `mode: separate` stands for a task for each head, for all that read the job."""

from __future__ import annotations

import re

import pytest

from hpcmtl.errors import InputError
from hpcmtl.jobfile.load import load_job, parse_job
from hpcmtl.jobfile.read import to_yaml

PARITY = {"model": {"name": "mlp", "outputs": 2}, "target": "digits/parity", "loss": "softmax_ce", "metrics": ["auc"]}


@pytest.fixture
def both(digits):
    """A job whose joint task has a head from a task and one of its own, and is to be separated."""
    joint = digits["tasks"]["joint"]
    joint["heads"]["parity"] = PARITY
    joint["freeze"] = ["heads.parity.output.bias", "trunk.*"]
    joint["mode"] = "separate"
    return digits


def test_each_head_has_a_task(both):
    """Keys and edges that concern another head alone are left out; a task that runs the network is made for each."""
    both["tasks"]["last"] = {"kind": "predict", "needs": {"trunk": "parameters", "report": "order"}}
    job = parse_job(both)
    tasks = job.tasks

    assert list(tasks)[3:] == ["joint.digit", "joint.parity", "report.digit", "report.parity", "last"]
    assert list(tasks["joint.digit"].needs) == ["trunk", "digit"]
    assert list(tasks["joint.parity"].needs) == ["trunk"]
    assert [*tasks["joint.digit"].freeze] == ["trunk.*"]
    assert [*tasks["joint.parity"].freeze] == ["heads.parity.output.bias", "trunk.*"]
    assert list(tasks["report.parity"].needs) == ["joint.parity"]
    assert list(tasks["last"].needs) == ["trunk", "report.digit", "report.parity"]
    assert parse_job(job.model_dump(mode="json", by_alias=True, exclude_none=True)) == job


def test_a_problem_has_the_line_of_the_written_task(both, tmp_path):
    """A fault of one of the new tasks is shown at the key that was written for all of them."""
    both["tasks"]["joint"]["heads"]["parity"] = {**PARITY, "metrics": ["accurracy"]}
    text = to_yaml(both)
    file = tmp_path / "job.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as raised:
        load_job(file)
    (problem,) = raised.value.problems

    assert "tasks.joint.parity.heads.parity.metrics" in problem.where
    assert "metrics" in text.splitlines()[problem.line - 1]


@pytest.mark.parametrize(
    ("changes", "where", "text"),
    [
        ({"weighting": "log"}, "weighting", "each head has a task of its own, so that there is nothing to combine"),
        ({"turns": "proportional"}, "turns", "so that there are no turns; leave `turns` out"),
        ({"mode": "alternate", "weighting": "log"}, "weighting", "a step trains one head, so that there is nothing"),
        ({"mode": "alternate", "turns": {"digit": 1}}, "turns", "has no share of parity; write one for each head"),
        ({"mode": "alternate", "turns": {"digit": 1, "pariti": 1}}, "turns.pariti", "did you mean 'parity'?"),
        ({"mode": "serial", "epochs": 1}, "epochs", "1 epochs are shared out among 2 heads, and parity gets none"),
        ({"mode": "serial", "turns": "proportional"}, "turns", "write a share of the epochs for each head"),
        ({"mode": "joint", "turns": "round_robin"}, "turns", "all heads are trained in each step"),
    ],
)
def test_keys_without_an_effect_are_refused(both, changes, where, text):
    """Each problem names the key, what the mode does, and what to write."""
    both["tasks"]["joint"].update(changes)

    with pytest.raises(InputError, match=re.escape(text)) as raised:
        parse_job(both)
    assert [each.where for each in raised.value.problems] == [f"job: tasks.joint.{where}"]


def test_sources_and_modes_are_refused(digits):
    """The steps of several sources are mixed by another key, which the message names."""
    joint = digits["tasks"]["joint"]
    del joint["input"]
    joint["sources"] = {"one": {"input": "digits/images", "targets": {"digit": "digits/digit"}}}
    joint["mode"] = "separate"
    digits["tasks"]["report"]["source"] = "one"

    with pytest.raises(InputError, match=r"leave `mode` out, and write `mixture: \{how: round_robin\}`"):
        parse_job(digits)


def test_other_edges_name_the_tasks(both):
    """A task that takes arrays or parameters of all heads at once is told the names of their tasks."""
    both["tasks"]["count"] = {"kind": "python", "needs": {"joint": "parameters"}, "callable": "own:count"}

    with pytest.raises(InputError, match=r"unknown task 'joint'; it stands for joint\.digit, joint\.parity"):
        parse_job(both)


def test_names_that_are_taken(both):
    """A task that has the name of a new one already is named."""
    both["tasks"]["joint.digit"] = both["tasks"]["digit"]

    with pytest.raises(InputError, match=r"there is a task 'joint\.digit' already; rename it, or the head"):
        parse_job(both)

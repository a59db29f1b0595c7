"""Values of `--set`."""

import re

import pytest

from hpcmtl.errors import InputError, Problem
from hpcmtl.jobfile.changes import blamed, changed, changes_of, one_change


@pytest.mark.parametrize(("word", "remedy"), [("tasks.a.epochs=010", "write 10"), ("seed=1,yes", "write true")])
def test_values_are_those_of_yaml_1_2(word, remedy):
    """A value that readers disagree on is refused as in a job file; a number may have an exponent."""
    with pytest.raises(InputError, match=remedy):
        changes_of([word])

    assert changes_of(["rate=1e-3"]) == [{"rate": 0.001}]


JOB = {"job": "j", "tasks": {"digit": {"epochs": 1, "heads": {"price": {"weight": 1}}}}}


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("tasks.digti.epochs", "--set tasks.digti.epochs: the job has no task 'digti'; did you mean 'digit'?"),
        ("tasks.digit.heads.prise.weight", "the job has no head 'prise'; did you mean 'price'?"),
        ("sed", "--set sed: unknown key 'sed'; did you mean 'seed'?"),
    ],
)
def test_a_key_that_is_not_there_is_told_with_its_neighbour(key, message):
    """A task or head of another name is not added, and a section has a name of the job file."""
    with pytest.raises(InputError, match=re.escape(message)):
        changed(JOB, {key: 1})

    assert changed(JOB, {"tasks.digit.epochs": 2, "seed": 3})["tasks"]["digit"]["epochs"] == 2


def test_a_value_of_the_command_line_is_blamed_there():
    """A problem of a value that `--set` gave is told for `--set`, and others for their file."""
    places = ("job.yaml: tasks.a.epochs", "base.yaml: tasks.a.epochs", "job.yaml: tasks.b.epochs")
    error = InputError([Problem(place, "found 0") for place in places])
    found = blamed(error, {"tasks.a.epochs": 0}).problems

    assert [problem.where for problem in found] == [*["--set tasks.a.epochs=0"] * 2, "job.yaml: tasks.b.epochs"]


@pytest.mark.parametrize(
    ("defaults", "copied"),
    [
        ({"optimizer": {"name": "sgd", "learning_rate": 0.1, "options": {"momentum": 0.9}}}, {"momentum": 0.9}),
        (None, None),
    ],
)
def test_a_key_of_a_section_that_defaults_give_changes_it_for_the_task_alone(defaults, copied):
    """The rest of the section stays as in `defaults`, of the job or of hpcmtl, and `defaults` stays as it was."""
    job = {**JOB, **({} if defaults is None else {"defaults": defaults})}
    found = changed(job, {"tasks.digit.optimizer.learning_rate": 0.5})

    name = "adam" if defaults is None else "sgd"
    assert found["tasks"]["digit"]["optimizer"]["name"] == name
    assert found["tasks"]["digit"]["optimizer"].get("options") == copied
    assert found["tasks"]["digit"]["optimizer"]["learning_rate"] == 0.5
    assert found.get("defaults") == defaults


def test_null_removes_a_key():
    """`--set` takes null as `extends` does: a task goes, and a key of inherited defaults; others are told."""
    job = {**JOB, "defaults": {"optimizer": {"name": "sgd", "clip": 1}}}

    assert changed(job, {"tasks.digit": None})["tasks"] == {}
    assert changed(job, {"tasks.digit.optimizer.clip": None})["tasks"]["digit"]["optimizer"] == {"name": "sgd"}
    assert changed(job, {"tasks.digit.epoch": None})["tasks"]["digit"]["epoch"] is None


def test_words_replace_the_sweep_of_the_job_file():
    """A key of `--set` has its values instead of those of the file; the other axes stay."""
    found = changes_of(["seed=7"], {"seed": [1, 2], "ranks": [1, 2]})

    assert found == [{"seed": 7, "ranks": 1}, {"seed": 7, "ranks": 2}]


def test_one_run_has_one_value_a_key():
    """Several values of `--set` are refused where there is one run."""
    with pytest.raises(InputError, match="2 combinations of values"):
        one_change(["seed=1,2"])

    assert one_change(["seed=1", "tasks.digit.metrics=[accuracy, auc]"]) == {
        "seed": 1,
        "tasks.digit.metrics": ["accuracy", "auc"],
    }

"""Values of `--set`."""

import re

import pytest

from hpcmtl.errors import InputError, Problem
from hpcmtl.pipeline.batch.sweep import blamed, changed, changes_of


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
    error = InputError([Problem("job.yaml: tasks.a.epochs", "found 0"), Problem("job.yaml: tasks.b.epochs", "found 0")])
    found = blamed(error, {"tasks.a.epochs": 0}, "job.yaml").problems

    assert [problem.where for problem in found] == ["--set tasks.a.epochs=0", "job.yaml: tasks.b.epochs"]

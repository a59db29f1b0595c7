"""`validate` makes the checks of a run before it trains, and says what it could not check."""

import sys

import pytest
import yaml
from jobs import family, family_task

from hpcmtl.errors import EnvironmentUnfitError, InputError
from hpcmtl.pipeline.validation import validated
from hpcmtl.training import network_checks


def test_problems_of_all_stages_come_at_once(family_file):
    """A wrong key, a shape, a module, an option and a pattern of five tasks are told together, each with its line."""
    tiny = {"input": "digits/images", "epochs": 1}
    tasks = {
        "key": {**family_task("digit", **tiny), "epoch": 1},
        "shape": family_task("digit", **tiny, target="digits/images"),
        "module": family_task("digit", **tiny, model={"name": "no_such_module:net"}),
        "option": family_task(
            "digit", **tiny, optimizer={"name": "sgd", "learning_rate": 1.0, "options": {"momentun": 0.5}}
        ),
        "pattern": family_task("digit", **tiny, freeze=["nothing.*"]),
    }
    family_file.write_text(yaml.safe_dump(family(tasks=tasks), sort_keys=False))
    with pytest.raises(InputError) as refused:
        validated(family_file)
    places = {problem.where.removeprefix(f"{family_file}: ") for problem in refused.value.problems}

    assert places == {
        "tasks.key.epoch",
        "tasks.shape.target",
        "tasks.module.model",
        "tasks.option.optimizer",
        "tasks.pattern.freeze",
    }
    assert all(problem.line for problem in refused.value.problems)


def test_constructors_that_end_the_process_are_problems(family_file):
    """A `SystemExit` of a user's network or loss ends no check: both are told as problems of their tasks."""
    tiny = {"input": "digits/images", "epochs": 1}
    tasks = {
        "network": family_task("digit", **tiny, model={"name": "own_blocks:leaves", "outputs": 0}),
        "loss": family_task("digit", **tiny, loss="own_blocks:leaves"),
    }
    family_file.write_text(yaml.safe_dump(family(tasks=tasks), sort_keys=False))
    with pytest.raises(InputError, match="SystemExit") as refused:
        validated(family_file)
    places = {problem.where.removeprefix(f"{family_file}: ") for problem in refused.value.problems}

    assert places == {"tasks.network.model", "tasks.loss.loss"}


def test_a_sound_job_leaves_nothing_behind(family_file):
    """All of it is checked, and the folder of the job is no longer searched for modules afterwards."""
    before = list(sys.path)
    checked = validated(family_file)

    assert checked.unchecked == ()
    assert len(checked.graph.tasks) == 8
    assert sys.path == before


def test_a_machine_without_the_framework(family_file, monkeypatch):
    """It checks all the rest, and says which networks it could not build and why."""

    def missing(name):
        raise EnvironmentUnfitError(f"{name} is not installed here")

    monkeypatch.setattr(network_checks, "open_framework", missing)
    (left,) = validated(family_file).unchecked
    names, _, reason = left.removeprefix("the networks of ").partition(": ")

    assert set(names.split(", ")) == set(family()["tasks"]) - {"census"}
    assert reason == "gluon is not installed here"


def test_static_validation_imports_nothing_of_users(family_file):
    """With --static a module that is not there is no problem, and the answer says what was left out."""
    tasks = {"a": {"kind": "python", "callable": "no_such_module:call"}}
    family_file.write_text(yaml.safe_dump(family(tasks=tasks), sort_keys=False))
    with pytest.raises(InputError, match="No module named 'no_such_module'"):
        validated(family_file)

    assert validated(family_file, static=True).unchecked == ("data, user code and networks (--static)",)


def test_an_input_of_unknown_shape_is_said(family_file):
    """A network on the output of a callable is built when the job runs; the answer says so."""
    tasks = {
        "make": {"kind": "python", "callable": "user_code:census", "outputs": ["x"]},
        "learn": {**family_task("digit", input="make/x", epochs=1), "needs": {"make": "data"}},
    }
    family_file.write_text(yaml.safe_dump(family(tasks=tasks), sort_keys=False))

    assert validated(family_file).unchecked == (
        "the networks of learn: the shape of its input is known only when the job runs",
    )

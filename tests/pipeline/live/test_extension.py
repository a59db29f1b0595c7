"""Tasks that are added to a running job are checked as those of a job file, and named by the file of the user."""

import pytest
from jobs import family_task

from hpcmtl.errors import InputError
from hpcmtl.layerplan.model.machine import Machine
from hpcmtl.pipeline.live.extension import ExtensibleJob
from hpcmtl.pipeline.prepare import prepare
from hpcmtl.results.rundir.directory import create, make_subdirectories
from hpcmtl.results.rundir.requests import Request

pytestmark = pytest.mark.slow


def test_a_network_that_cannot_be_built(family_file):
    """The problem has the file of the tasks and the key, and not the whole job that was made of it."""
    directory = create(family_file.parent / "runs", "family")
    make_subdirectories(directory)
    job = ExtensibleJob(prepare(family_file), directory, (), Machine())
    new = family_task("digit", input="digits/images", epochs=1, freeze=["nothing.*"])
    values = {"file": "more.yaml", "folder": str(family_file.parent), "tasks": {"new": new}, "data": {}}
    with pytest.raises(InputError) as refused:
        job.examine(Request("1", "add", "me", values=values))
    (problem,) = refused.value.problems

    assert problem.where == "more.yaml: tasks.new.freeze"
    assert "matches no parameter" in problem.message


def test_a_task_that_stands_for_several(family_file):
    """A joint task with `mode: separate` is checked and planned as the tasks of its heads."""
    directory = create(family_file.parent / "runs", "family")
    make_subdirectories(directory)
    job = ExtensibleJob(prepare(family_file), directory, (), Machine())
    head = {"model": {"name": "mlp", "outputs": 10}, "target": "digits/digit", "loss": "softmax_ce"}
    new = {"kind": "joint", "mode": "separate", "input": "digits/images", "epochs": 1, "heads": {"a": head, "b": head}}
    new["trunk"] = {"model": {"name": "mlp", "outputs": 4}}
    values = {"file": "more.yaml", "folder": str(family_file.parent), "tasks": {"new": new}, "data": {}}
    extended = job.examine(Request("1", "add", "me", values=values))

    assert {"new.a", "new.b"} < {task.name for task in extended.plan.tasks}
    new["freeze"] = ["heads.a.output.wait"]
    with pytest.raises(InputError) as refused:
        job.examine(Request("2", "add", "me", values=values))
    assert [each.where for each in refused.value.problems] == ["more.yaml: tasks.new.a.freeze"]

"""A file of tasks is read beside the job, and everything that is wrong with it is named with its own lines."""

import pytest
import yaml

from hpcmtl.errors import InputError
from hpcmtl.pipeline.live.addition import joined, read_addition

JOB = {"job": "j", "ranks": 2, "data": {"digits": "/data/digits.h5"}, "tasks": {"a": {"kind": "train"}}}


def write(folder, values):
    """A file of tasks."""
    file = folder / "more.yaml"
    file.write_text(yaml.safe_dump(values, sort_keys=False))
    return file


def test_tasks_and_data_are_joined(tmp_path):
    """The job keeps all that it had; new data are relative to the file of tasks."""
    file = write(tmp_path, {"data": {"more": "x.h5"}, "tasks": {"b": {"kind": "predict"}}})
    values, places = read_addition(file)
    both = joined(JOB, values, places)

    assert both.values["ranks"] == 2
    assert list(both.values["tasks"]) == ["a", "b"]
    assert both.values["data"] == {"digits": "/data/digits.h5", "more": str(tmp_path / "x.h5")}
    assert both.where == str(file)
    assert both.places["tasks", "b"] == (str(file), 4)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"ranks": 3, "tasks": {"b": {}}}, "ranks (line 1): a file of tasks has `tasks` and `data` alone"),
        ({"data": {"more": "x.h5"}}, "tasks: must be a mapping of at least one task"),
        ({"tasks": ["b"]}, "tasks (line 1): must be a mapping of at least one task"),
        ({"tasks": {"a": {}}}, "tasks.a (line 2): the job has a task of this name"),
        (
            {"tasks": {"b": {"needs": {"a": {"mode": "async"}}}}},
            "tasks.b.needs.a (line 4): a task that is added cannot",
        ),
        ({"data": {"digits": "x.h5"}, "tasks": {"b": {}}}, "data.digits (line 2): the job has other data of this name"),
    ],
)
def test_what_cannot_be_joined(tmp_path, values, message):
    """Names that are taken, and what only a job file has, are refused with the line."""
    file = write(tmp_path, values)
    with pytest.raises(InputError) as refused:
        joined(JOB, *read_addition(file))

    assert f"{file}: {message}" in str(refused.value)

"""Composition of a job file with its base."""

import re

import pytest

from hpcmtl.errors import InputError
from hpcmtl.jobfile.composition import read_job
from hpcmtl.jobfile.load import load_job

BASE = """
hpcmtl: 1
job: base
ranks: 2
data: {d: d.h5}
defaults: {optimizer: {name: adam, learning_rate: 0.1}}
tasks:
  one: {kind: python, callable: "m:f", arguments: {a: 1, b: [1, 2]}}
  two: {kind: python, callable: "m:f"}
"""


@pytest.fixture
def files(tmp_path):
    """Returns a function that writes a base and a file that extends it, and returns the latter."""

    def write(own, base=BASE, folder="."):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / "base.yaml").write_text(base, "utf-8")
        file = tmp_path / "job.yaml"
        file.write_text(f"extends: {folder}/base.yaml\n{own}", "utf-8")
        return file

    return write


def test_mappings_are_merged_and_all_else_is_replaced(files):
    """Keys of both files hold, at every depth; a list or a number of the file replaces that of its base."""
    file = files("job: own\ntasks: {one: {arguments: {b: [3]}}, three: {kind: python, callable: 'm:g'}}")
    job = load_job(file)

    assert (job.job, job.ranks, list(job.tasks)) == ("own", 2, ["one", "two", "three"])
    assert job.tasks["one"].arguments == {"a": 1, "b": [3]}
    assert job.tasks["one"].callable == "m:f"


def test_null_removes_a_key_of_the_base(files):
    """A task that is null is not in the job, and a section that is null has its default."""
    job = load_job(files("tasks: {two: null}\ndefaults: null"))

    assert list(job.tasks) == ["one"]
    assert job.defaults.optimizer.learning_rate == 0.001


def test_a_problem_is_told_with_the_file_that_has_the_key(files):
    """Problems of the base name the base with its line, and those of the file name the file."""
    file = files("tasks:\n  one:\n    epochs: 3", BASE.replace("ranks: 2", "ranks: none"))
    with pytest.raises(InputError) as caught:
        load_job(file)

    places = {(problem.where.rpartition("/")[2], problem.line) for problem in caught.value.problems}
    assert places == {("base.yaml: ranks", 4), ("job.yaml: tasks.one.epochs", 4)}


def test_paths_of_a_base_in_another_folder_are_relative_to_it(files, tmp_path):
    """Data and modules of the base are found in its folder, also from a job file elsewhere."""
    values = read_job(files("job: own", folder="shared")).values

    assert values["data"] == {"d": str(tmp_path / "shared" / "d.h5")}
    assert values["modules"] == [".", str(tmp_path / "shared")]


@pytest.mark.parametrize(
    ("name", "base", "message"),
    [
        ("base.yaml", f"extends: other.yaml\n{BASE}", "extends a file itself, and a job file extends one file"),
        ("[base.yaml]", BASE, "write the path of one job file"),
        ("bsae.yaml", BASE, "cannot read the job file: No such file or directory"),
    ],
)
def test_a_base_that_cannot_be_extended_is_refused(tmp_path, name, base, message):
    """A base of a base, several bases and a missing base are told."""
    (tmp_path / "base.yaml").write_text(base, "utf-8")
    (tmp_path / "job.yaml").write_text(f"extends: {name}\n", "utf-8")
    with pytest.raises(InputError, match=re.escape(message)):
        read_job(tmp_path / "job.yaml")


def test_a_job_made_in_code_extends_nothing():
    """`extends` is refused where no reader of files has put the base in its place."""
    from hpcmtl.jobfile.load import parse_job

    with pytest.raises(InputError, match="only a job file extends another one"):
        parse_job({"job": "j", "extends": "base.yaml", "tasks": {"a": {"kind": "python", "callable": "m:f"}}})

"""A run is found by what people call it."""

from pathlib import Path

import pytest
from plans import SMALL_PLAN

from hpcmtl.errors import InputError
from hpcmtl.results.rundir.directory import RunDirectory, create, write_json_atomically
from hpcmtl.results.rundir.find import find_run


@pytest.fixture
def run(tmp_path):
    """A run that was planned."""
    directory = create(tmp_path / "runs", "small")
    write_json_atomically(directory.plan_file, SMALL_PLAN)
    return directory


def test_the_names_of_a_run(run, tmp_path):
    """Its directory, the name of that, the job's name, and the latest of all; what has not begun is passed over."""
    runs = tmp_path / "runs"
    newer = create(runs, "small-other")
    write_json_atomically(newer.plan_file, SMALL_PLAN)
    create(runs, "has-no-plan-yet")
    write_json_atomically(create(runs, "a-sweep").submission_file, {"job_ids": ["16"]})

    assert find_run(run.path, Path("elsewhere")) == find_run(Path(run.path.name), runs) == run
    assert find_run(Path("small"), runs) == run
    assert find_run(Path("latest"), runs) == newer
    submitted = create(runs, "submitted")
    submitted.job_file.write_text("{}")
    write_json_atomically(submitted.submission_file, {"job_ids": ["16"]})
    assert find_run(Path("latest"), runs) == submitted


def test_a_directory_that_a_job_was_put_into_is_a_run(tmp_path):
    """It need not have begun."""
    (tmp_path / "job.yaml").write_text("{}")

    assert find_run(tmp_path, Path("elsewhere")) == RunDirectory(tmp_path)


def test_a_job_in_another_folder_is_no_job_of_this_one(run, tmp_path):
    """The name of a job is looked for among the runs themselves: with a folder before it, it is a path."""
    write_json_atomically(create(tmp_path / "runs" / "user", "other").plan_file, SMALL_PLAN)

    with pytest.raises(InputError, match="there is no such run directory"):
        find_run(Path("user/other"), tmp_path / "runs")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("smal", "there is no such run directory, and no run of that name"),
        ("small-{}x", "did you mean 'small-{}'"),
        (".", "this is no run directory"),
        ("latest-", "give a run directory, a job's name or latest"),
    ],
)
def test_what_is_no_run_is_refused(run, tmp_path, monkeypatch, name, message):
    """With what it may be."""
    monkeypatch.chdir(tmp_path)
    stamp = run.path.name.removeprefix("small-")
    with pytest.raises(InputError) as refused:
        find_run(Path(name.format(stamp)), Path("runs"))

    assert message.format(stamp) in str(refused.value)


def test_a_folder_without_runs_is_named(tmp_path):
    """Where there is no run at all the message says where it looked, and how to look elsewhere."""
    with pytest.raises(InputError, match=rf"no runs in .*looked in {tmp_path}/runs.; name another folder with --runs"):
        find_run(Path("latest"), tmp_path / "runs")

from __future__ import annotations

import json
import pickle
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from pathlib import Path

import pytest

from hpcmtl.errors import EnvironmentUnfitError, InputError
from hpcmtl.results.rundir.directory import RunDirectory, create, write_json_atomically, write_text_atomically

NOON = datetime(2024, 5, 1, 12, 30, 59, tzinfo=timezone.utc)


def test_the_directory_is_named_for_job_and_time_and_furnished(tmp_path):
    """Missing parents are made; logs, checkpoints, artifacts and requests are there."""
    run = create(tmp_path / "deep" / "runs", "digits", NOON)

    assert run.path == tmp_path / "deep" / "runs" / "digits-20240501-123059"
    assert sorted(entry.name for entry in run.path.iterdir()) == ["artifacts", "checkpoints", "logs", "requests"]


def test_the_paths_are_the_documented_ones():
    """Tools of others rely on these names."""
    run = RunDirectory(Path("r"))
    files = [run.job_file, run.plan_file, run.ledger_file, run.results_file, run.environment_file]

    assert [file.name for file in files] == [
        "job.yaml",
        "plan.json",
        "events.jsonl",
        "results.json",
        "environment.json",
    ]
    assert str(run.rank_log(7)) == "r/logs/rank.007.log"
    assert run.rank_log(1234).name == "rank.1234.log"


def test_jobs_that_start_in_the_same_second_get_directories_of_their_own(tmp_path):
    """The mkdir takes the name, so a race has no two winners."""
    with ThreadPoolExecutor(8) as pool:
        runs = list(pool.map(lambda _: create(tmp_path, "digits", NOON), range(16)))

    names = {run.path.name for run in runs}
    assert names == {"digits-20240501-123059", *(f"digits-20240501-123059-{k}" for k in range(2, 17))}


def test_a_relative_root_is_resolved(tmp_path, monkeypatch):
    """The ranks may have other working directories."""
    monkeypatch.chdir(tmp_path)

    assert create(Path("runs"), "digits").path.parent == tmp_path / "runs"


def test_the_value_travels_to_the_other_ranks():
    """Rank 0 broadcasts it by pickle."""
    run = RunDirectory(Path("/runs/digits"))

    assert pickle.loads(pickle.dumps(run)) == run  # noqa: S301, our own bytes


@pytest.mark.parametrize("job", ["", "a/b", "..", ".hidden", "/abs", "a\0b"])
def test_a_job_name_that_is_a_path_is_refused(tmp_path, job):
    """No job writes outside the directory of the runs."""
    with pytest.raises(InputError, match="cannot name a directory"):
        create(tmp_path, job)

    assert list(tmp_path.iterdir()) == []


def test_a_root_that_is_a_file_is_refused_by_name(tmp_path):
    """The message names the place and the reason."""
    root = tmp_path / "file"
    root.write_text("x")

    with pytest.raises(InputError, match=r"file: no run directory can be created here \(File exists\)"):
        create(root, "digits")


def test_json_is_replaced_whole(tmp_path):
    """The second writing replaces the first, and nothing else lies in the directory."""
    file = tmp_path / "results.json"
    write_json_atomically(file, {"status": "stopped"})
    write_json_atomically(file, {"status": "complete", "loss": float("nan")})

    assert json.loads(file.read_text()) == {"status": "complete", "loss": "nan"}
    assert list(tmp_path.iterdir()) == [file]


def test_a_value_that_json_cannot_hold_leaves_the_old_file(tmp_path):
    """A failure changes nothing."""
    file = tmp_path / "results.json"
    write_json_atomically(file, 1)
    with pytest.raises(TypeError):
        write_json_atomically(file, {"bad": object()})

    assert file.read_text() == "1\n"
    assert list(tmp_path.iterdir()) == [file]


def test_a_rename_that_fails_leaves_nothing_beside(tmp_path):
    """The file aside is removed when its name cannot be taken."""
    target = tmp_path / "results.json"
    target.mkdir()
    with pytest.raises(IsADirectoryError):
        write_json_atomically(target, 1)

    assert list(tmp_path.iterdir()) == [target]


def test_a_directory_that_is_gone_is_said(tmp_path):
    """A write into a directory that was renamed is an unfit environment, also after it has travelled."""
    with pytest.raises(EnvironmentUnfitError, match="this directory is gone: it was renamed or removed") as refused:
        write_text_atomically(tmp_path / "old" / "a", "text")

    assert str(pickle.loads(pickle.dumps(refused.value))) == str(refused.value)  # noqa: S301 - our own bytes

"""A run goes on only with the data that it began with."""

from __future__ import annotations

import numpy as np
import pytest
import yaml
from events import event

from hpcmtl.data.fingerprint import fingerprints_of, fingerprints_to_json
from hpcmtl.data.hdf5 import write_dataset_file
from hpcmtl.errors import CannotGoOnError, InputError
from hpcmtl.jobfile.load import parse_job
from hpcmtl.pipeline.prepare import plan, prepare
from hpcmtl.pipeline.run.resume_point import load_after_loss, load_run
from hpcmtl.results.ledger import Ledger
from hpcmtl.results.rundir.directory import RunDirectory, create, write_json_atomically

ROWS = 12


def write(path, **changed):
    """Write a data file of the run, with some arrays changed."""
    split = changed.pop("split", np.arange(ROWS) % 3)
    arrays = {"x": np.ones((ROWS, 2), np.float32), "y": np.arange(ROWS) % 2, "other": np.zeros(ROWS), **changed}
    write_dataset_file(path, arrays, split, overwrite=True)


@pytest.fixture
def stopped(tmp_path):
    """A run whose task `net` has begun on rows.h5, while `later`, on more.h5, has not; returns its directory."""
    return interrupted(
        tmp_path,
        event("layer_stopped", task="net", layer=0, ranks=1, steps=1),
        event("job_ended", status="stopped", seconds=1.0),
    )


def interrupted(tmp_path, *events):
    """Write a run after the start of `net` and some events; return its directory."""
    for name in ("rows", "more"):
        write(tmp_path / f"{name}.h5")
    base = {"kind": "train", "loss": "softmax_ce", "model": {"name": "mlp", "outputs": 2}, "epochs": 1}
    tasks = {name: {**base, "input": f"{data}/x", "target": f"{data}/y"} for name, data in _READ.items()}
    data = {name: str(tmp_path / f"{name}.h5") for name in _READ.values()}
    prepared = prepare(parse_job({"hpcmtl": 1, "job": "stopped", "data": data, "tasks": tasks}))
    directory = create(tmp_path / "runs", "stopped")
    directory.job_file.write_text(yaml.safe_dump(prepared.resolved()))
    write_json_atomically(directory.plan_file, plan(prepared).to_dict())
    write_json_atomically(directory.data_file, fingerprints_to_json(fingerprints_of(prepared.files.values())))
    with Ledger(directory.ledger_file) as ledger:
        ledger.append(event("job_started", job="stopped", ranks=1, policy="variable", host="", attempt=1))
        ledger.append(event("layer_started", task="net", layer=0, layers=1, first_rank=0, ranks=1))
        for each in events:
            ledger.append(each)
    return directory.path


_READ = {"net": "rows", "later": "more"}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"y": np.arange(ROWS) % 2 * 0}, "rows.h5: y: was int64, (12,), crc32"),
        ({"split": np.arange(ROWS) % 2}, "rows.h5: split: was uint8, (12,), crc32"),
        ({"other": np.ones(ROWS)}, ""),
    ],
)
def test_data_in_use_must_not_change(stopped, tmp_path, changed, said):
    """Labels and the split of a task that has begun; an array that no task reads may change."""
    write(tmp_path / "rows.h5", **changed)
    if not said:
        assert load_run(stopped, None, 1).unfinished == ["later", "net"]
        return
    with pytest.raises(InputError) as error:
        load_run(stopped, None, 1)

    assert said in str(error.value)
    assert "Put the old file back, or begin a new run" in str(error.value)


def test_data_of_tasks_that_have_not_begun_may_change(stopped, tmp_path):
    """A mistake in them may be mended between two attempts; a run of an older version is not compared."""
    write(tmp_path / "more.h5", y=np.zeros(ROWS, int))

    assert load_run(stopped, None, 1).unfinished == ["later", "net"]
    write(tmp_path / "rows.h5", y=np.zeros(ROWS, int))
    RunDirectory(stopped).data_file.unlink()
    assert load_run(stopped, None, 1).unfinished == ["later", "net"]


def test_data_that_a_callable_may_have_read_are_named(stopped, tmp_path, caplog):
    """A change beside a `python` task that has begun is a warning: nobody knows what it has read."""
    job = yaml.safe_load((stopped / "job.yaml").read_text())
    job["tasks"]["call"] = {"kind": "python", "callable": "math:sqrt"}
    (stopped / "job.yaml").write_text(yaml.safe_dump(job))
    write(tmp_path / "more.h5", y=np.zeros(ROWS, int))
    load_run(stopped, None, 1)
    before = caplog.text
    with Ledger(stopped / "events.jsonl") as ledger:
        ledger.append(event("layer_stopped", task="call", layer=0, ranks=1, steps=1))
    load_run(stopped, None, 1)

    assert before == ""
    assert f"{tmp_path / 'more.h5'}: changed since this run began" in caplog.text
    assert caplog.text.rstrip().endswith("its results are of the old values: call")


def test_only_ranks_that_are_missing_count_as_too_few(stopped, tmp_path):
    """After a loss a task that needs more ranks stops the run; data that have changed are named, on any number."""
    job = yaml.safe_load((stopped / "job.yaml").read_text())
    job["tasks"]["later"]["ranks"] = {"min": 2}
    (stopped / "job.yaml").write_text(yaml.safe_dump({**job, "ranks": 2}))

    assert load_after_loss(stopped, "rank 0 was lost", None, 2).unfinished == ["later", "net"]
    with pytest.raises(CannotGoOnError, match=r"rank 0 was lost, and .* too few are left \(1\).*needs 2 ranks"):
        load_after_loss(stopped, "rank 0 was lost", None, 1)
    write(tmp_path / "rows.h5", y=np.zeros(ROWS, int))
    for ranks in (1, 2):
        with pytest.raises(InputError, match=r"rows\.h5: y: was int64"):
            load_after_loss(stopped, "rank 0 was lost", None, ranks)


@pytest.mark.parametrize("told", [True, False])
def test_a_task_killed_within_its_first_layer_has_begun(tmp_path, told):
    """A checkpoint of the interval holds steps on the old values, also if a kill came before its event."""
    run = interrupted(tmp_path, *([event("checkpoint_written", task="net", step=4)] if told else []))
    write(tmp_path / "rows.h5", y=np.zeros(ROWS, int))
    if not told:
        assert load_run(run, None, 1).unfinished == ["later", "net"]  # nothing is kept: it begins again
        checkpoint = run / "checkpoints" / "net" / "step-0000000004.h5"
        checkpoint.parent.mkdir(parents=True)
        checkpoint.touch()

    with pytest.raises(InputError, match="rows.h5: y: was int64"):
        load_run(run, None, 1)
    job = yaml.safe_load((run / "job.yaml").read_text())
    job["tasks"]["net"]["epochs"] = 2
    (tmp_path / "changed.yaml").write_text(yaml.safe_dump(job))
    write(tmp_path / "rows.h5")
    with pytest.raises(InputError, match=r"tasks.net.epochs.*has begun"):
        load_run(run, tmp_path / "changed.yaml", 1)

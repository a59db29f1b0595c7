"""A run goes on only with the data that it began with."""

from __future__ import annotations

import numpy as np
import pytest
import yaml
from events import event
from interrupted import ROWS, interrupted, write

from hpcmtl.errors import CannotGoOnError, InputError
from hpcmtl.pipeline.run.lost_coordinator import load_after_loss
from hpcmtl.pipeline.run.resume_point import load_run
from hpcmtl.results.ledger import Ledger
from hpcmtl.results.rundir.directory import RunDirectory


@pytest.fixture
def stopped(tmp_path):
    """A run whose task `net` has begun on rows.h5, while `later`, on more.h5, has not; returns its directory."""
    return interrupted(
        tmp_path,
        event("layer_stopped", task="net", layer=0, ranks=1, steps=1),
        event("job_ended", status="stopped", seconds=1.0),
    )


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

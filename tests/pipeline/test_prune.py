"""Files that no attempt needs: half-written ones, and the checkpoints of complete runs."""

import json

import numpy as np
import pytest
from events import event
from plans import SMALL_PLAN

from hpcmtl.errors import InputError
from hpcmtl.exchange.store import seal
from hpcmtl.pipeline.prune import removable, remove, runs_in
from hpcmtl.results.ledger import Ledger
from hpcmtl.results.rundir.directory import create, create_sweep
from hpcmtl.results.rundir.leftovers import remove_orphans

ORPHANS = (
    "artifacts/.digit.h5.0123456789abcdef0123456789abcdef.partial",
    "checkpoints/digit/.step-0000000010.h5.0123456789abcdef0123456789abcdef.partial",
    ".results.json.1234",
    ".job.yaml.99",
)
KEPT = ("artifacts/digit.h5", "job.yaml", "results.json", "events.jsonl", ".claim", ".ended.abc", "notes.partial")


@pytest.fixture
def run(tmp_path):
    """A run that was stopped, and what a kill has left behind."""
    made = create(tmp_path / "runs", "small")
    (made.checkpoints / "digit").mkdir()
    for name in (*ORPHANS, *KEPT, "checkpoints/digit/step-0000000010.h5", "checkpoints/digit/step-0000000005.damaged"):
        (made.path / name).write_text("")
    seal(made.path / "artifacts" / "digit.h5", {"a": np.arange(3.0)}, {})
    made.plan_file.write_text(json.dumps(SMALL_PLAN))
    end(made, "stopped")
    return made


def end(run, status):
    """Let an attempt of the run end."""
    with Ledger(run.ledger_file) as ledger:
        ledger.append(event("job_started", job="small", ranks=1, policy="variable", attempt=1))
        ledger.append(event("job_ended", status=status, seconds=1.0))
    run.results_file.write_text(json.dumps({"status": status}))


def names(run, found):
    """Paths in the run directory."""
    return {str(each.relative_to(run.path)) for each in found}


def test_orphans_are_removed(run):
    """Only the names of half-written files count; a `resume` removes them."""
    assert names(run, remove_orphans(run)) == set(ORPHANS)
    assert all((run.path / name).exists() for name in KEPT)


def test_what_a_stopped_run_needs_stays(run):
    """Its checkpoints are needed, those that are damaged are not."""
    found = list(removable(run))

    assert names(run, [each.path for each in found]) == {*ORPHANS, "checkpoints/digit/step-0000000005.damaged"}
    assert all((run.path / name).exists() for name in ORPHANS)


def test_a_complete_run(run):
    """It needs no checkpoint; what it has made stays."""
    end(run, "complete")
    found = list(removable(run))
    for each in found:
        remove(each)

    assert names(run, [each.path for each in found]) == {*ORPHANS, "checkpoints/digit"}
    assert sum(each.files for each in found) >= 6
    assert list(run.checkpoints.iterdir()) == []
    assert all((run.path / name).exists() for name in KEPT)


def test_what_can_make_a_damaged_artifact_again_stays(run):
    """The checkpoints of a task whose artifact is damaged stay, as do files that are none of the run's, and links."""
    end(run, "complete")
    (run.path / "artifacts" / "digit.h5").write_bytes(b"damaged")
    (run.checkpoints / "mine").mkdir()
    (run.checkpoints / "mine" / "notes.txt").write_text("")
    (run.checkpoints / "elsewhere").symlink_to(run.path.parent)
    found = names(run, [each.path for each in removable(run)])

    assert found == {*ORPHANS, "checkpoints/digit/step-0000000005.damaged"}


def test_a_run_that_goes_on(run):
    """Nothing of it is touched."""
    with Ledger(run.ledger_file):
        assert list(removable(run)) == []


def test_directories(run, tmp_path):
    """A run, a folder of runs, and a sweep in it; anything else is refused."""
    sweep, points = create_sweep(run.path.parent, "small", ["000", "001"])
    (sweep / "submission.json").write_text(json.dumps({"kind": "array", "points": {"000": {}, "001": {}}}))
    for point in points:
        point.job_file.write_text("job: small\n")

    assert [each.path for each in runs_in(run.path)] == [run.path]
    assert len(runs_in(sweep)) == 2
    assert len(runs_in(run.path.parent)) == 3
    with pytest.raises(InputError, match="there is no run directory"):
        runs_in(tmp_path / "nowhere")

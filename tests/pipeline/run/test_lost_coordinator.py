"""The loss of rank 0 is in the ledger, and an attempt that cannot go on has an end and a completion record."""

import json

import pytest
import yaml
from events import event
from interrupted import interrupted

from hpcmtl.errors import CannotGoOnError
from hpcmtl.pipeline.run.lost_coordinator import load_after_loss
from hpcmtl.results.ledger import read


def test_the_rank_that_takes_over_records_the_loss(tmp_path):
    """Rank 0, the layer that it ran and its host are recorded, once; layers of other ranks are not blamed."""
    other = {"task": "later", "layer": 0, "layers": 1, "first_rank": 2, "ranks": 1}
    run = interrupted(tmp_path, event("layer_started", **other))
    load_after_loss(run, "rank 0 was lost", None, 2)
    lost, restarted = read(run / "events.jsonl")[-2:]

    assert (lost["event"], lost["rank"], lost["task"], lost["layer"]) == ("rank_lost", 0, "net", 0)
    assert (restarted["event"], restarted["task"], restarted["layer"], restarted["lost"]) == (
        "layer_restarted",
        "net",
        0,
        [0],
    )


def test_a_rank_0_without_a_layer(tmp_path):
    """A rank 0 that waited for work is recorded without a task."""
    run = interrupted(tmp_path, event("layer_ended", task="net", layer=0, ranks=1, steps=1))
    load_after_loss(run, "rank 0 was lost", None, 2)
    last = read(run / "events.jsonl")[-1]

    assert (last["event"], last["rank"], last["task"]) == ("rank_lost", 0, "")


def test_an_attempt_that_cannot_go_on_has_an_end(tmp_path):
    """With too few ranks left the ledger says why the run stops, and results.json is there."""
    run = interrupted(tmp_path)
    job = yaml.safe_load((run / "job.yaml").read_text())
    job["tasks"]["later"]["ranks"] = {"min": 2}
    (run / "job.yaml").write_text(yaml.safe_dump({**job, "ranks": 2}))
    with pytest.raises(CannotGoOnError):
        load_after_loss(run, "rank 0 was lost", None, 1)
    stopping, ended = read(run / "events.jsonl")[-2:]
    record = json.loads((run / "results.json").read_text())

    assert (stopping["event"], ended["event"], ended["status"]) == ("job_stopping", "job_ended", "stopped")
    assert "too few are left (1)" in stopping["reason"]
    assert record["status"] == "stopped"

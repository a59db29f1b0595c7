"""Changes that another job file may make when a run is resumed: all but work that is done."""

from __future__ import annotations

import numpy as np
import pytest
import yaml
from events import event
from jobs import family, family_task

from hpcmtl.errors import InputError
from hpcmtl.exchange.store import seal
from hpcmtl.pipeline.prepare import plan, prepare
from hpcmtl.pipeline.run.resume_point import load_run
from hpcmtl.results.ledger import Ledger
from hpcmtl.results.rundir.directory import create, write_json_atomically
from hpcmtl.training.session import artifact_file

TASKS = {
    "trunk": family_task("trunk", ranks=1),
    "head": family_task("digit", input="digits/images", epochs=6, ranks=1),
}


@pytest.fixture
def run(family_file):
    """A run whose trunk is complete, and whose head has failed after a layer."""
    family_file.write_text(yaml.safe_dump(family(ranks=1, tasks=TASKS), sort_keys=False))
    directory = create(family_file.parent / "runs", "family")
    prepared = prepare(family_file)
    directory.job_file.write_text(yaml.safe_dump(prepared.resolved(), sort_keys=False))
    write_json_atomically(directory.plan_file, plan(prepared).to_dict())
    with Ledger(directory.ledger_file) as ledger:
        ledger.append(event("job_started", job="family", ranks=1, policy="variable", attempt=1))
        for name, status in (("trunk", "complete"), ("head", "failed")):
            place = {"task": name, "layer": 0, "ranks": 1}
            ledger.append(event("layer_started", **place, first_rank=0, layers=2))
            ledger.append(event("layer_ended", **place, steps=20, rows=32.0, step_seconds=0.01, seconds=0.3))
            ledger.append(event("task_ended", task=name, status=status, message=""))
        ledger.append(event("job_ended", status="failed", seconds=1.0, attempt=1))
    seal(artifact_file(directory, "trunk"), {"parameters/weight": np.ones(3)}, {"task": "trunk"})
    return directory


def changed(family_file, **tasks):
    """A job file beside the first, with other keys of some tasks."""
    both = {name: {**task, **tasks.get(name, {})} for name, task in TASKS.items()}
    file = family_file.with_name("changed.yaml")
    file.write_text(yaml.safe_dump(family(ranks=1, tasks=both), sort_keys=False))
    return file


def test_a_failed_task_may_change(family_file, run):
    """It begins again from nothing; the complete task keeps its history."""
    model = {"name": "mlp", "widths": [8], "outputs": 10}
    point = load_run(run.path, changed(family_file, head={"model": model, "epochs": 3}), None)

    assert point.reset == {"head": ("epochs", "model")}
    assert (point.history.tasks["head"].layers_done, point.history.tasks["head"].status) == (0, "waiting")
    assert point.unfinished == ["head"]
    assert point.prepared.job.tasks["head"].epochs == 3


def test_a_failed_task_without_a_change_goes_on(family_file, run):
    """It keeps the layers that it has done, also where its placement changes."""
    point = load_run(run.path, changed(family_file, head={"priority": 3}), None)

    assert point.reset == {}
    assert point.history.tasks["head"].layers_done == 1


def test_a_complete_task_may_not_change(family_file, run):
    """It is refused with its key and line, also beside a failed task that changes."""
    with pytest.raises(InputError) as refused:
        load_run(run.path, changed(family_file, head={"epochs": 3}, trunk={"epochs": 9}), None)

    assert [problem.where.rpartition(": ")[2] for problem in refused.value.problems] == ["tasks.trunk.epochs"]
    assert all(problem.line for problem in refused.value.problems)

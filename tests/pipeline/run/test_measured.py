"""Times of a run's layers come back from its directory, and make the next plan."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from events import event

from hpcmtl.errors import InputError
from hpcmtl.jobfile.work import Work
from hpcmtl.layerplan.model.machine import Machine
from hpcmtl.layerplan.model.speedup import Measurement, Speedups
from hpcmtl.layerplan.solve.policies import make_plan
from hpcmtl.pipeline.run.measured import measurements_of
from hpcmtl.results.ledger import Ledger
from hpcmtl.results.rundir.directory import create, write_json_atomically
from hpcmtl.taskgraph.graph import TaskGraph, TaskNode
from hpcmtl.training.session import LayerOutcome

if TYPE_CHECKING:
    from hpcmtl.results.rundir.directory import RunDirectory

WORK = Work(1000, 3, 64, 1024, 100_000, trains=True)
GRAPH = TaskGraph(tuple(TaskNode(name, "train", 0, 1, 8, WORK.input_bytes, 2, WORK) for name in "ab"), ())
PLAN = make_plan(GRAPH, 8, speedups=Speedups(machine=Machine(node=4, cores=2)))


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    """The directory of a run that has just begun."""
    directory = create(tmp_path, "small")
    write_json_atomically(directory.plan_file, PLAN.to_dict())
    Ledger(directory.ledger_file).close()
    return directory


def note(run: RunDirectory, task: str, block: range, outcome: LayerOutcome) -> None:
    """Let a layer run, as the dispatcher notes it."""
    with Ledger(run.ledger_file) as ledger:
        ledger.append(event("layer_started", task=task, layer=0, layers=2, first_rank=block.start, ranks=len(block)))
        ledger.append(replace(outcome.to_event(task, 0, len(block)), seconds=2.5))


def test_layers_that_ended_are_measurements(run: RunDirectory) -> None:
    """Each has the family of its task, its ranks, and the nodes that they span."""
    note(run, "a", range(2, 4), LayerOutcome(20, 32, 0.1, 2.2))
    note(run, "b", range(2, 6), LayerOutcome(20, 16, 0.08, 2.2))
    family = PLAN.task("a").family

    assert measurements_of(run.path) == (
        Measurement(family=family, ranks=2, nodes=1, contention=1.0, rows=32, steps=20, step_seconds=0.1, seconds=2.5),
        Measurement(family=family, ranks=4, nodes=2, contention=2.0, rows=16, steps=20, step_seconds=0.08, seconds=2.5),
    )


def test_layers_without_steps_or_end_are_none(run: RunDirectory) -> None:
    """A layer that was stopped, or had nothing to do, says nothing of a step."""
    note(run, "a", range(2), LayerOutcome(20, 32, 0.1, 2.2, stopped=True))
    note(run, "b", range(2), LayerOutcome(0, 0, 0.0, 0.1))

    assert measurements_of(run.path) == ()


def test_the_next_plan_knows(run: RunDirectory) -> None:
    """A plan from measurements predicts what was measured."""
    note(run, "a", range(1), LayerOutcome(24, 64, 0.1, 2.4))
    plan = make_plan(GRAPH, 2, "one_rank", speedups=Speedups(measurements_of(run.path)))

    assert plan.makespan == pytest.approx(WORK.steps * 0.1 + 2 * (2.5 - 2.4))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda run: run.plan_file.unlink(), "no run directory"),
        (lambda run: run.plan_file.write_text("{"), "no plan that this version"),
        (lambda run: run.plan_file.write_text('{"tasks": [{"name": "a"}]}'), "no plan that this version"),
        (lambda run: run.ledger_file.unlink(), "ledger cannot be read"),
    ],
)
def test_what_is_no_run_is_refused(run: RunDirectory, damage, message: str) -> None:
    """A directory that is none, or damaged, is named with what is wrong."""
    damage(run)

    with pytest.raises(InputError, match=message):
        measurements_of(run.path)


def test_an_older_run_is_measured_for_families_of_today() -> None:
    """A plan of an earlier version does not say which families train: their kinds do."""
    found = measurements_of(Path(__file__).parents[2] / "results" / "data" / "format1_complete")

    assert found
    assert all(each.family.trains == (each.family.kind in {"train", "joint"}) for each in found)

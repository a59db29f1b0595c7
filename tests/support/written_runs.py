"""Run directories that tests write without running anything: plans, jobs and ledgers with given times."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import yaml

from hpcmtl.results.events import JobEnded, JobStarted, LayerEnded, LayerStarted, TaskEnded
from hpcmtl.results.ledger import Ledger
from hpcmtl.results.rundir.directory import RunDirectory

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from hpcmtl.results.events import RunEvent

BEGAN = 1.7e9
"""Time of the first event, in seconds since 1970."""


def write_ledger(run: RunDirectory, entries: Sequence[tuple[float, RunEvent]]) -> None:
    """Writes events at seconds after `BEGAN`."""
    with Ledger(run.ledger_file) as ledger:
        for seconds, event in entries:
            ledger.append(event, BEGAN + seconds)


def write_plan(run: RunDirectory, tasks: Sequence[Mapping[str, object]], ranks: int) -> None:
    """Writes a plan with the fields that readers use."""
    makespan = max((float(str(task["end"])) for task in tasks), default=0.0)
    figures = {"policy": "variable", "ranks": ranks, "makespan": makespan, "lower_bound": 0.8 * makespan}
    run.plan_file.write_text(json.dumps({**figures, "gap": 0.25, "utilisation": 0.5, "tasks": list(tasks)}))


def planned(name: str, start: float, end: float, first_rank: int = 0, width: int = 1) -> dict[str, object]:
    """Returns a task of a plan."""
    place = {"start": start, "end": end, "first_rank": first_rank, "width": width}
    return {"name": name, "layers": 1, "critical": True, **place}


def write_job(run: RunDirectory, needs: Mapping[str, Sequence[str]], kind: str = "train") -> None:
    """Writes a job whose tasks need others."""
    tasks = {name: {"kind": kind, "needs": {one: {"kind": "order"} for one in some}} for name, some in needs.items()}
    run.job_file.write_text(yaml.safe_dump({"job": "family", "tasks": tasks}, sort_keys=False))


def two_tasks(path: Path) -> RunDirectory:
    """Writes a complete run of two tasks, one after the other, on two ranks in ten seconds."""
    run = RunDirectory(path)
    path.mkdir()
    write_job(run, {"a": [], "b": ["a"]})
    write_plan(run, [planned("a", 0, 4, width=2), planned("b", 4, 6, first_rank=1)], ranks=2)
    first = LayerEnded(
        task="a", layer=0, ranks=2, steps=20, step_seconds=0.1, seconds=3.0, facts={"data_wait": 0.25, "from_files": 8}
    )
    second = LayerEnded(task="b", layer=0, ranks=1, steps=10, step_seconds=0.1, seconds=2.0, metrics={"loss": 0.5})
    entries: list[tuple[float, RunEvent]] = [
        (0, JobStarted(job="family", ranks=2, attempt=1, host="n1")),
        (1, LayerStarted(task="a", layer=0, layers=1, first_rank=0, ranks=2)),
        (4, first),
        (4, TaskEnded(task="a", status="complete")),
        (5, LayerStarted(task="b", layer=0, layers=1, first_rank=1, ranks=1)),
        (8, second),
        (8, TaskEnded(task="b", status="complete")),
        (10, JobEnded(status="complete", seconds=10, attempt=1)),
    ]
    write_ledger(run, entries)
    return run

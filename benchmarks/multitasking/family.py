"""Methods and seeds as the tasks of one job, which hpcmtl trains side by side, and what its run found."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from hpcmtl.results.ledger import read

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from multitasking.spread import Rows

ROOT = Path(__file__).parents[2]
RANKS = 2
LIBRARY = "torch" if find_spec("torch") else "gluon"
SEEDS, QUICK_SEEDS = 5, 1
STEP = "ms a step"
"""Column of the times of steps, with both ranks at work."""


@dataclass(frozen=True, kw_only=True)
class FinishedRun:
    """Holds a complete run.

    Attributes:
        directory: its run directory.
        metrics: task -> metric -> value.
        steps: task -> mean milliseconds of a step.
        seconds: time from the start of the first task layer to the end of the last one.
        command_seconds: time of the whole command.
    """

    directory: Path
    metrics: Mapping[str, Mapping[str, float]]
    steps: Mapping[str, float]
    seconds: float
    command_seconds: float


def job_of(name: str, data: Mapping[str, Path], tasks: Mapping[str, Any], **defaults: Any) -> dict[str, Any]:
    """Returns a job whose tasks have one task layer each; `defaults` are those of its tasks."""
    return {
        "hpcmtl": 1,
        "job": name,
        "ranks": RANKS,
        "data": {key: str(path.resolve()) for key, path in data.items()},
        "defaults": {"framework": LIBRARY, **defaults},
        "layers": {"policy": "fixed", "count": 1},
        "tasks": dict(tasks),
    }


def by_seed(tasks: Mapping[str, Any], seeds: int) -> dict[str, Any]:
    """Returns each training several times, under names that end with a number, and an evaluation of each.

    The random numbers of a task depend on its name, so that each number is another seed.
    """
    trained = {f"{name}_{seed}": task for name, task in tasks.items() for seed in range(seeds)}
    tests = {f"{name}_test": {"kind": "evaluate", "needs": {name: "parameters"}} for name in trained}
    return {**trained, **tests}


def run_job(job: Mapping[str, Any], folder: Path) -> FinishedRun:
    """Runs a job by the command line.

    Raises:
        SystemExit: the run failed; with the end of what it wrote.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "job.yaml"
    file.write_text(yaml.safe_dump(job, sort_keys=False), encoding="utf-8")
    command = [sys.executable, "-m", "hpcmtl", "run", file, "--runs", folder / "runs"]
    start = time.perf_counter()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    if done.returncode:
        raise SystemExit(f"{job['job']}: exit code {done.returncode}\n{(done.stdout + done.stderr)[-4000:]}")
    directory = max((folder / "runs").iterdir(), key=lambda path: path.stat().st_mtime)
    results = json.loads((directory / "results.json").read_text(encoding="utf-8"))["tasks"]
    metrics = {name: task["metrics"] for name, task in results.items()}
    steps, whole = _times(directory)
    return FinishedRun(directory=directory, metrics=metrics, steps=steps, seconds=whole, command_seconds=seconds)


def _times(directory: Path) -> tuple[dict[str, float], float]:
    """Returns milliseconds of a step by task, and the time from the first start of a layer to the last end of one."""
    times: dict[str, list[datetime]] = {"layer_started": [], "layer_ended": []}
    steps = {}
    for event in read(directory / "events.jsonl"):
        if event["event"] in times:
            times[event["event"]].append(datetime.fromisoformat(event["time"]))
        if event["event"] == "layer_ended":
            steps[event["task"]] = event["step_seconds"] * 1e3
    return steps, (max(times["layer_ended"]) - min(times["layer_started"])).total_seconds()


def test_rows(
    job: Mapping[str, Any], tasks: Mapping[str, Any], columns: Mapping[str, str], *, seeds: int, folder: Path
) -> Rows:
    """Trains tasks with several seeds by one job, and returns metrics of the test split, see `of_tests`.

    Args:
        job: job without tasks.
        tasks: trainings by name.
        columns: as for `of_tests`.
        seeds: number of seeds.
        folder: folder for the job file and the run.
    """
    done = run_job({**job, "tasks": by_seed(tasks, seeds)}, folder)
    print(f"{len(tasks) * seeds} trainings and their evaluations in {done.command_seconds:.0f} s", flush=True)
    return of_tests(done, tasks, seeds, columns)


def of_tests(run: FinishedRun, names: Iterable[str], seeds: int, columns: Mapping[str, str]) -> Rows:
    """Returns metrics of the test split and times of steps: row -> column -> values, one for each seed.

    Args:
        run: a run of tasks made by `by_seed`.
        names: names of the trainings.
        seeds: number of seeds.
        columns: name of the metric in the results -> column; metrics that a task lacks are left out.
    """
    rows: Rows = {}
    for name in names:
        tests = [run.metrics[f"{name}_{seed}_test"] for seed in range(seeds)]
        rows[name] = {text: [each[key] for each in tests] for key, text in columns.items() if key in tests[0]}
        rows[name][STEP] = [run.steps[f"{name}_{seed}"] for seed in range(seeds)]
    return rows

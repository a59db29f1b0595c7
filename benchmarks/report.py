"""Measures the report of a large run: seconds and bytes, beside the size of the ledger that it reads.

    python benchmarks/report.py [--tasks 1000] [--ranks 64] [--keep FOLDER] [--json FILE]

The graph is made for this benchmark, the plan is the planner's, and the ledger has the planned layers with random
deviations, checkpoints, curves of every task and some failures. Exit code 1 if a bar is missed.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import yaml

from hpcmtl.jobfile.work import Work
from hpcmtl.layerplan.solve.policies import make_plan
from hpcmtl.report.page import FILE, report_html
from hpcmtl.results import events
from hpcmtl.results.curves.point import TrainingPoint, to_fields
from hpcmtl.results.event_format import to_fields as event_fields
from hpcmtl.results.rundir.directory import RunDirectory
from hpcmtl.results.strict_json import to_json
from hpcmtl.taskgraph.graph import Edge, TaskGraph, TaskNode, topological_order

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hpcmtl.layerplan.plan import LayerPlan, PlannedTask
    from hpcmtl.results.events import RunEvent

BAR_SECONDS, BAR_BYTES = 10.0, 6e6
LAYERS, POINTS = 4, 300  # task layers, and points of the curves, of a task
BEGAN = 1.75e9


def main() -> int:
    """Measures, prints, and returns 0 if the bars are met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=1000)
    parser.add_argument("--ranks", type=int, default=64)
    parser.add_argument("--keep", type=Path, help="write the run and its report into this folder")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        run = RunDirectory(options.keep or Path(temporary) / "large")
        run.path.mkdir(parents=True, exist_ok=True)
        make_run(run, options.tasks, options.ranks)
        start = time.perf_counter()
        text = report_html({run.path.name: run})
        seconds, size = time.perf_counter() - start, len(text.encode())
        (run.path / FILE).write_text(text, encoding="utf-8")
        ledger = run.ledger_file.stat().st_size
    found = {"tasks": options.tasks, "seconds": seconds, "bytes": size, "bytes_over_ledger": size / ledger}
    print("  ".join(f"{name} {value:.4g}" for name, value in found.items()))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1), encoding="utf-8")
    return 0 if seconds <= BAR_SECONDS and size <= BAR_BYTES else 1


def make_run(run: RunDirectory, tasks: int, ranks: int) -> None:
    """Writes the directory of a run of some tasks."""
    random = np.random.default_rng(tasks)
    graph = random_graph(tasks, ranks, random)
    plan = make_plan(graph, ranks)
    needs: dict[str, dict[str, dict[str, str]]] = {task.name: {} for task in graph.tasks}
    for edge in graph.edges:
        needs[edge.consumer][edge.producer] = {"kind": edge.kind, "mode": "sync"}
    job = {"job": "large", "tasks": {name: {"kind": "train", "needs": some} for name, some in needs.items()}}
    run.job_file.write_text(yaml.safe_dump(job, sort_keys=False), encoding="utf-8")
    run.plan_file.write_text(to_json(plan.to_dict()), encoding="utf-8")
    with run.ledger_file.open("w", encoding="utf-8") as file:
        file.writelines(_line(event, at) for at, event in sorted(course(plan, random), key=lambda each: each[0]))
    run.curves.mkdir(exist_ok=True)
    for task in plan.tasks:
        lines = (to_json(to_fields(point)) + "\n" for point in points(random))
        run.curve_file(task.name).write_text("".join(lines), encoding="utf-8")


def random_graph(count: int, ranks: int, random: np.random.Generator) -> TaskGraph:
    """Returns a graph in which most tasks need one to three earlier ones."""
    names = [f"task_{number:04d}" for number in range(count)]
    needs = {
        name: sorted({names[at] for at in random.integers(max(0, number - 200), number, 2)}) if number >= 20 else []
        for number, name in enumerate(names)
    }
    nodes = {}
    for name in names:
        samples = int(random.lognormal(9, 0.8))
        work = Work(samples, 10, 64, 784, 100_000, trains=True, multiplications=100_000)
        nodes[name] = TaskNode(name, "train", 0, 1, min(ranks, 8), work.input_bytes, LAYERS, work)
    edges = (Edge(producer, name, "parameters") for name, some in needs.items() for producer in some)
    return TaskGraph(tuple(nodes[name] for name in topological_order(needs)), tuple(edges))


def course(plan: LayerPlan, random: np.random.Generator) -> Iterator[tuple[float, RunEvent]]:
    """Yields events with their times: every layer a little later than planned, and each hundredth task fails."""
    yield 0.0, events.JobStarted(job="large", ranks=plan.ranks, attempt=1, host="n1")
    for number, task in enumerate(plan.tasks):
        yield from _layers(task, random, fails=number % 100 == 99)
    yield 1.1 * plan.makespan, events.JobEnded(status="failed", seconds=1.1 * plan.makespan, attempt=1)


def _layers(task: PlannedTask, random: np.random.Generator, *, fails: bool) -> Iterator[tuple[float, RunEvent]]:
    seconds = (task.end - task.start) / LAYERS
    place = {"task": task.name, "ranks": task.width}
    for layer in range(LAYERS):
        start, took = 1.05 * (task.start + layer * seconds), seconds * float(random.uniform(0.8, 1.04))
        yield start, events.LayerStarted(layer=layer, layers=LAYERS, first_rank=task.first_rank, **place)
        yield start + took / 2, events.CheckpointWritten(task=task.name, step=layer, held=0.001, bytes=400_000)
        metrics = {"val_accuracy": float(random.uniform(0.8, 1)), "loss": float(random.uniform(0, 1))}
        over = {"steps": 100, "step_seconds": took / 120, "seconds": took, "metrics": metrics}
        yield start + took, events.LayerEnded(layer=layer, **place, **over, facts={"data_wait": 0.05})
    status, text = ("failed", "the loss is not finite") if fails else ("complete", "")
    yield 1.05 * task.end, events.TaskEnded(task=task.name, status=status, message=text)


def points(random: np.random.Generator) -> Iterator[TrainingPoint]:
    """Yields the points of a curve that falls."""
    for step in range(10, 10 * POINTS + 1, 10):
        loss = 2 * math.exp(-step / 800) + float(random.uniform(0, 0.1))
        yield TrainingPoint(step=step, losses={"loss": loss}, learning_rate=0.001)
        if step % 300 == 0:
            yield TrainingPoint(step=step, ends_epoch=True, metrics={"val_accuracy": 1 - loss / 3})


def _line(event: RunEvent, at: float) -> str:
    when = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(BEGAN + at)) + f".{int(at * 1000) % 1000:03d}+00:00"
    return to_json({"time": when, "event": event.name, **event_fields(event)}) + "\n"


if __name__ == "__main__":
    raise SystemExit(main())

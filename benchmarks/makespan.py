"""How long a family of dependent tasks takes: hpcmtl beside what people do today, on the same ranks, by the same code.

usage: python benchmarks/makespan.py [--quick] [--ranks N ...] [--rounds N] [--json FILE]

The rivals: a shell loop of one mpirun a task on all ranks; one MPI job with one task after the other on all ranks; with
barriers between the depths of the graph; with one rank a task; and mpi4py.futures, each task on one of as many workers.
All rivals and hpcmtl are run in turn, in so many rounds, there and back; times are of the whole command, from its start
to its end, and a ratio above 1 means that hpcmtl was faster. `busy` is the share of the cores that the processes of a
way had work for: where it is near 1 no other order of the same work is faster. `prediction` is the plan's makespan over
what the layers really took.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import yaml
from rich.console import Console
from rich.table import Table

from hpcmtl.pipeline.prepare import prepare
from hpcmtl.results.ledger import read
from hpcmtl.results.rundir import RunDirectory, create

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ROOT = Path(__file__).parents[1]
TASKS = Path(__file__).parent / "rivals" / "tasks.py"
FAMILY = Path(__file__).parent / "rivals" / "family.yaml"
console = Console(width=120 if not sys.stdout.isatty() else None)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run everything in turn and print a table for each number of ranks."""
    parser = argparse.ArgumentParser(description="Measure whole jobs.")
    parser.add_argument("--quick", action="store_true", help="one round on two ranks, one epoch a task")
    parser.add_argument("--ranks", type=int, nargs="+", default=[4, 2])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write all numbers to this file as well")
    options = parser.parse_args(arguments)
    if options.quick:
        options.ranks, options.rounds = [2], 1
    subprocess.run([sys.executable, ROOT / "datasets/mnist5k.py"], check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    results: dict[str, Compared] = {}
    with tempfile.TemporaryDirectory() as scratch:
        job = Path(scratch) / "family.yaml"
        job.write_text(yaml.safe_dump(family(quick=options.quick), sort_keys=False), encoding="utf-8")
        for ranks in options.ranks:
            results[str(ranks)] = compared(job, ranks, options.rounds)
            show(ranks, results[str(ranks)])
    if options.json is not None:
        options.json.write_text(
            json.dumps({ranks: asdict(found) for ranks, found in results.items()}, indent=1), encoding="utf-8"
        )


def family(*, quick: bool) -> dict[str, Any]:
    """The job, with one epoch a task if it has to be quick."""
    job: dict[str, Any] = yaml.safe_load(FAMILY.read_text(encoding="utf-8"))
    job["data"] = {name: str((FAMILY.parent / path).resolve()) for name, path in job["data"].items()}
    for task in job["tasks"].values() if quick else ():
        if "epochs" in task:
            task["epochs"] = 1
    return job


@dataclass(frozen=True)
class Compared:
    """What was measured, round by round.

    Attributes:
        seconds: of each way.
        cpu: seconds of CPU of each way's processes.
        predictions: the plan's makespan over what the layers took, in a first run and in one with its times.
    """

    seconds: dict[str, list[float]]
    cpu: dict[str, list[float]]
    predictions: dict[str, list[float]]


def compared(job: Path, ranks: int, rounds: int) -> Compared:
    """Run all ways in turn."""
    ways: dict[str, Callable[[], Path | None]] = {
        "hpcmtl": lambda: hpcmtl(job, ranks, "variable"),
        "a: shell loop": lambda: shell_loop(job, ranks),
        "b: sequential": lambda: hpcmtl(job, ranks, "sequential"),
        "c: waves": lambda: hpcmtl(job, ranks, "waves"),
        "d: one_rank": lambda: hpcmtl(job, ranks, "one_rank"),
        "e: mpi4py.futures": lambda: futures(job, ranks),
    }
    found = Compared({name: [] for name in ways}, {name: [] for name in ways}, {"first": [], "measured": []})
    order = list(ways.items())
    for _ in range(rounds):
        for name, way in order:
            start, used = time.perf_counter(), cpu_of_children()
            run = way()
            found.seconds[name].append(time.perf_counter() - start)
            found.cpu[name].append(cpu_of_children() - used)
            if name == "hpcmtl":
                assert run is not None
                first = run
        order.reverse()  # who comes first has the machine as another program left it
        again = hpcmtl(job, ranks, "variable", "--measured", str(first))
        found.predictions["first"].append(predicted(first))
        found.predictions["measured"].append(predicted(again))
    return found


def cpu_of_children() -> float:
    """Seconds of CPU of all processes below this one that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def hpcmtl(job: Path, ranks: int, policy: str, *words: str) -> Path:
    """Run the job by hpcmtl; return the run directory."""
    runs = Path(tempfile.mkdtemp(dir=job.parent))
    words = ("--ranks", str(ranks), "--policy", policy, "--runs", str(runs), *words)
    _call([sys.executable, "-m", "hpcmtl", "run", str(job), *words])
    return next(runs.iterdir())


def shell_loop(job: Path, ranks: int) -> None:
    """One mpirun after the other, each with one task on all ranks."""
    run = create(job.parent, "loop").path
    for task in prepare(job).graph.tasks:
        _mpirun(ranks, job, run, task.name)


def futures(job: Path, ranks: int) -> None:
    """All tasks as jobs of one rank; the rank that hands them out comes on top."""
    _mpirun(ranks + 1, job, create(job.parent, "futures").path)


def predicted(run: Path) -> float:
    """The plan's makespan over the seconds from the first start to the last end of a layer."""
    directory = RunDirectory(run)
    events = [event for event in read(directory.ledger_file) if event["event"] in {"layer_started", "layer_ended"}]
    first, last = (datetime.fromisoformat(event["time"]) for event in (events[0], events[-1]))
    plan = json.loads(directory.plan_file.read_text(encoding="utf-8"))
    return float(plan["makespan"]) / (last - first).total_seconds()


def show(ranks: int, found: Compared) -> None:
    """Print a table: medians, and the median of the ratios round by round."""
    ours = found.seconds["hpcmtl"]
    table = Table(title=f"{ranks} ranks, {len(ours)} rounds", title_justify="left")
    for column in ("way", "seconds", "busy", "over hpcmtl", "least", "most"):
        table.add_column(column, justify="right")
    for name, values in found.seconds.items():
        busy = median(found.cpu[name]) / median(values) / len(os.sched_getaffinity(0))
        ratios = [value / our for value, our in zip(values, ours, strict=True)]
        table.add_row(name, f"{median(values):.1f}", f"{busy:.2f}", *(f"{f(ratios):.2f}" for f in (median, min, max)))
    for name, values in found.predictions.items():
        table.add_row(f"prediction, {name}", "", "", *(f"{f(values):.2f}" for f in (median, min, max)))
    console.print(table)


def _mpirun(ranks: int, *words: object) -> None:
    launcher = [str(ROOT / "launchers" / "mpirun.sh"), "-np", str(ranks)]
    _call([*launcher, sys.executable, "-m", "mpi4py", str(TASKS), *map(str, words)])


def _call(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-3000:]}")


if __name__ == "__main__":
    main()

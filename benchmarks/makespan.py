"""Compares the time of a family of dependent tasks with other ways to run it, on the same ranks, by the same code.

usage: python benchmarks/makespan.py [--quick] [--ranks N ...] [--rounds N] [--baselines a c ...] [--json FILE]

The baselines: a shell loop with one mpirun per task on all ranks; one MPI job with one task after the other on all
ranks; with barriers between the depths of the graph; with one rank per task; and mpi4py.futures, each task on one of as
many workers. Each baseline runs next to a run of hpcmtl, in every other round before it, because the speed of a machine
varies. Times are of the whole command, and a ratio above 1 means that hpcmtl was faster. `busy` is the fraction of time
in which the cores had work: if it is near 1, no other order of the same work is faster. `prediction` is the plan's
makespan over the measured time of the layers.
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
from hpcmtl.results.rundir.directory import RunDirectory, create

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ROOT = Path(__file__).parents[1]
TASKS = Path(__file__).parent / "baselines" / "tasks.py"
FAMILY = Path(__file__).parent / "baselines" / "family.yaml"
console = Console(width=120 if not sys.stdout.isatty() else None)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs everything in turn and prints a table for each number of ranks."""
    parser = argparse.ArgumentParser(description="Measure whole jobs.")
    parser.add_argument("--quick", action="store_true", help="one round on two ranks, one epoch a task")
    parser.add_argument("--ranks", type=int, nargs="+", default=[4, 2])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--baselines", nargs="+", choices="abcde", default=list("abcde"), help="by letter")
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
            results[str(ranks)] = compared(job, ranks, options.rounds, options.baselines)
            show(ranks, results[str(ranks)])
    if options.json is not None:
        options.json.write_text(
            json.dumps({ranks: asdict(found) for ranks, found in results.items()}, indent=1), encoding="utf-8"
        )


def family(*, quick: bool) -> dict[str, Any]:
    """Returns the job, with one epoch per task if `quick`."""
    job: dict[str, Any] = yaml.safe_load(FAMILY.read_text(encoding="utf-8"))
    job["data"] = {name: str((FAMILY.parent / path).resolve()) for name, path in job["data"].items()}
    for task in job["tasks"].values() if quick else ():
        if "epochs" in task:
            task["epochs"] = 1
    return job


@dataclass(frozen=True)
class CommandTime:
    """Holds seconds of a whole command, and CPU seconds of all its processes."""

    seconds: float
    cpu: float


@dataclass(frozen=True)
class Compared:
    """Holds the measurements.

    Attributes:
        pairs: for each baseline, (adjacent run of hpcmtl, the baseline), round by round.
        predictions: the plan's makespan over the measured time, in a first run and in one with measured times.
    """

    pairs: dict[str, list[tuple[CommandTime, CommandTime]]]
    predictions: dict[str, list[float]]


def compared(job: Path, ranks: int, rounds: int, letters: Sequence[str]) -> Compared:
    """Runs all ways in turn."""
    baselines: dict[str, Callable[[], Path | None]] = {
        "a: shell loop": lambda: shell_loop(job, ranks),
        "b: sequential": lambda: hpcmtl(job, ranks, "sequential"),
        "c: waves": lambda: hpcmtl(job, ranks, "waves"),
        "d: one_rank": lambda: hpcmtl(job, ranks, "one_rank"),
        "e: mpi4py.futures": lambda: futures(job, ranks),
    }
    baselines = {name: baseline for name, baseline in baselines.items() if name[0] in letters}

    def variable() -> Path:
        return hpcmtl(job, ranks, "variable")

    found = Compared({name: [] for name in baselines}, {"first": [], "measured": []})
    for number in range(rounds):
        for name, baseline in baselines.items():
            if number % 2:
                (theirs, _), (ours, run) = timed(baseline), timed(variable)
            else:
                (ours, run), (theirs, _) = timed(variable), timed(baseline)
            found.pairs[name].append((ours, theirs))
        assert run is not None
        found.predictions["first"].append(predicted(run))
        found.predictions["measured"].append(predicted(hpcmtl(job, ranks, "variable", "--measured", str(run))))
    return found


def timed(way: Callable[[], Path | None]) -> tuple[CommandTime, Path | None]:
    """Runs a way; returns its times, and its run directory if it has one."""
    start, used = time.perf_counter(), cpu_of_children()
    run = way()
    return CommandTime(time.perf_counter() - start, cpu_of_children() - used), run


def cpu_of_children() -> float:
    """Returns the CPU seconds of all ended descendants of this process."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def hpcmtl(job: Path, ranks: int, policy: str, *words: str) -> Path:
    """Runs the job by hpcmtl; returns the run directory."""
    runs = Path(tempfile.mkdtemp(dir=job.parent))
    words = ("--ranks", str(ranks), "--policy", policy, "--runs", str(runs), *words)
    _call([sys.executable, "-m", "hpcmtl", "run", str(job), *words])
    return next(runs.iterdir())


def shell_loop(job: Path, ranks: int) -> None:
    """Runs one mpirun after the other, each with one task on all ranks."""
    run = create(job.parent, "loop").path
    for task in prepare(job).graph.tasks:
        _mpirun(ranks, job, run, task.name)


def futures(job: Path, ranks: int) -> None:
    """Runs all tasks as one-rank jobs on workers; the rank that distributes them is additional."""
    _mpirun(ranks + 1, job, create(job.parent, "futures").path)


def predicted(run: Path) -> float:
    """Returns the plan's makespan over the seconds from the first start to the last end of a layer."""
    directory = RunDirectory(run)
    events = [event for event in read(directory.ledger_file) if event["event"] in {"layer_started", "layer_ended"}]
    first, last = (datetime.fromisoformat(event["time"]) for event in (events[0], events[-1]))
    plan = json.loads(directory.plan_file.read_text(encoding="utf-8"))
    return float(plan["makespan"]) / (last - first).total_seconds()


def show(ranks: int, found: Compared) -> None:
    """Prints a table of medians and of the medians of paired ratios."""
    table = Table(title=f"{ranks} ranks, {len(found.predictions['first'])} rounds", title_justify="left")
    for column in ("way", "seconds", "busy", "over hpcmtl", "least", "most"):
        table.add_column(column, justify="right")
    table.add_row("hpcmtl", *_taken([ours for pairs in found.pairs.values() for ours, _ in pairs]))
    for name, pairs in found.pairs.items():
        ratios = [theirs.seconds / ours.seconds for ours, theirs in pairs]
        table.add_row(name, *_taken([theirs for _, theirs in pairs]), *(f"{f(ratios):.2f}" for f in (median, min, max)))
    for name, values in found.predictions.items():
        table.add_row(f"prediction, {name}", "", "", *(f"{f(values):.2f}" for f in (median, min, max)))
    console.print(table)


def _taken(runs: list[CommandTime]) -> tuple[str, str]:
    """Returns median seconds, and the median fraction of time in which the cores were busy."""
    busy = median(run.cpu / run.seconds for run in runs) / len(os.sched_getaffinity(0))
    return f"{median(run.seconds for run in runs):.1f}", f"{busy:.2f}"


def _mpirun(ranks: int, *words: object) -> None:
    launcher = [str(ROOT / "launchers" / "mpirun.sh"), "-np", str(ranks)]
    _call([*launcher, sys.executable, "-m", "mpi4py", str(TASKS), *map(str, words)])


def _call(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-3000:]}")


if __name__ == "__main__":
    main()

"""Measures the start of a run: from the command to the end of its first step, over an mpirun that only imports.

usage: python benchmarks/start.py [--ranks N] [--rounds N] [--json FILE]

The job has one small network a rank, with one batch that holds all samples of the digits: one step, one layer.
Each round runs the bare command and hpcmtl next to each other, every other time in the other order. The bare command is
``mpirun -np N python -c "import mpi4py.MPI, mxnet, horovod.mxnet"`` on ranks that are bound to no core, once as it is
and once with the transport settings of hpcmtl's launchers (`OMPI_MCA_btl`, `OMPI_MCA_mpi_yield_when_idle`). NumPy gets
back the name `bool`, without which mxnet 1.9.1 cannot be imported. A ratio below 1 means that hpcmtl was faster.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import yaml
from rich.console import Console
from rich.table import Table

from hpcmtl.results.ledger import read
from hpcmtl.results.rundir.directory import RunDirectory

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

IMPORTS = "import numpy; numpy.bool = bool; import mpi4py.MPI, mxnet, horovod.mxnet"
ROOT = Path(__file__).parents[1]
SAMPLES = 1797  # of the digits
TRANSPORTS = {"OMPI_MCA_btl": "^tcp,ofi", "OMPI_MCA_mpi_yield_when_idle": "1"}
console = Console(width=120 if not sys.stdout.isatty() else None)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the rounds and prints a table."""
    parser = argparse.ArgumentParser(description="Measure the start of a run.")
    parser.add_argument("--ranks", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write all numbers to this file as well")
    options = parser.parse_args(arguments)
    subprocess.run([sys.executable, ROOT / "datasets/digits.py"], check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    found: dict[str, list[float]] = {"hpcmtl": [], "bare": [], "bare, same transports": []}
    with tempfile.TemporaryDirectory() as scratch:
        job = Path(scratch) / "start.yaml"
        job.write_text(yaml.safe_dump(small_job(options.ranks), sort_keys=False), encoding="utf-8")
        ways = {
            "hpcmtl": lambda: first_step(job, options.ranks),
            "bare": lambda: bare(options.ranks, {}),
            "bare, same transports": lambda: bare(options.ranks, TRANSPORTS),
        }
        for number in range(options.rounds):
            for name in list(ways)[:: -1 if number % 2 else 1]:
                found[name].append(ways[name]())
    show(options.ranks, found)
    if options.json is not None:
        options.json.write_text(json.dumps(found, indent=1), encoding="utf-8")


def small_job(ranks: int) -> dict[str, Any]:
    """Returns a job with a task of one step for each rank."""
    task = {
        "kind": "train",
        "model": {"name": "mlp", "widths": [16], "outputs": 10},
        "input": "digits/images",
        "target": "digits/digit",
        "loss": "softmax_ce",
        "epochs": 1,
        "batch_size": SAMPLES,
        "ranks": 1,
    }
    data = {"digits": str(ROOT / "data/digits.h5")}
    tasks = {f"digit{number}": dict(task) for number in range(ranks)}
    return {"hpcmtl": 1, "job": "start", "ranks": ranks, "data": data, "tasks": tasks}


def bare(ranks: int, settings: Mapping[str, str]) -> float:
    """Returns the seconds of an mpirun whose ranks only import."""
    words = [str(Path(sys.executable).parent / "mpirun"), "-np", str(ranks), "--bind-to", "none", "--oversubscribe"]
    words += ["--allow-run-as-root"] if os.getuid() == 0 else []
    began = time.perf_counter()
    subprocess.run([*words, sys.executable, "-c", IMPORTS], check=True, env={**os.environ, **settings})
    return time.perf_counter() - began


def first_step(job: Path, ranks: int) -> float:
    """Returns the seconds from the command to the end of the first layer, which has one step."""
    runs = Path(tempfile.mkdtemp(dir=job.parent))
    words = ["run", str(job), "--ranks", str(ranks), "--runs", str(runs)]
    began = time.time()
    subprocess.run([sys.executable, "-m", "hpcmtl", *words], check=True, capture_output=True)
    (run,) = runs.iterdir()
    events = read(RunDirectory(run).ledger_file)
    first = next(event for event in events if event["event"] == "layer_ended")
    assert first["steps"] == 1, f"the first layer has {first['steps']} steps"
    return datetime.fromisoformat(first["time"]).timestamp() - began


def show(ranks: int, found: Mapping[str, Sequence[float]]) -> None:
    """Prints medians, and the medians of paired ratios."""
    table = Table(title=f"{ranks} ranks, {len(found['hpcmtl'])} rounds", title_justify="left")
    for column in ("way", "seconds", "hpcmtl over it", "least", "most"):
        table.add_column(column, justify="right")
    for name, seconds in found.items():
        ratios = [ours / theirs for ours, theirs in zip(found["hpcmtl"], seconds, strict=True)]
        table.add_row(name, f"{median(seconds):.2f}", *(f"{f(ratios):.2f}" for f in (median, min, max)))
    console.print(table)


if __name__ == "__main__":
    main()

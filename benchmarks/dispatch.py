"""Measures moves of a task between groups of ranks, and the cost of the dispatcher.

    python benchmarks/dispatch.py [--layers 60] [--quick] [--json FILE]

First, a real job on 4 ranks: one task (a network of 1 MB, Adam) whose every layer runs on other ranks than the previous
one. A move lasts from the last report of the old layer until the last rank of the new group begins its first step; all
ranks share this host's clock. Second, simulated ranks in one process: the work and messages of the dispatcher for a
layer. Exit code 1 if a bar is missed.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from planning.dispatched import simulate
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

ROOT = Path(__file__).resolve().parent.parent
RANKS = 4
BLOCKS = (range(2), range(2, 4), range(1, 3), range(4), range(3), range(1, 4), range(1), range(4))
STEPS, BATCH = 3, 16  # steps per layer, samples per step
BAR_SECONDS, BAR_CPU = 0.030, 0.02
console = Console(width=None if sys.stdout.isatty() else 110)


def main() -> int:
    """Measures, prints both tables, and returns 0 if the bars are met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=60)
    parser.add_argument("--quick", action="store_true", help="12 layers, fewer simulated ranks")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--as-rank", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    layers = 12 if options.quick else options.layers
    if options.as_rank:
        as_rank(options.as_rank, layers)
        return 0
    moves = real_moves(layers)
    simulated = [simulate(ranks) for ranks in ((64, 256) if options.quick else (64, 256, 1024, 4096))]
    show(moves, simulated)
    if options.json:
        options.json.write_text(json.dumps({"moves": moves, "simulated": simulated}, indent=1), encoding="utf-8")
    return 0 if median(moves["total"]) <= BAR_SECONDS and moves["control_cpu"] <= BAR_CPU else 1


def real_moves(layers: int) -> dict[str, Any]:
    """Runs the job and reads the timings of its ranks."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.json"
        words = [sys.executable, "-m", "mpi4py", __file__, "--as-rank", str(out), "--layers", str(layers)]
        subprocess.run([ROOT / "launchers/mpirun.sh", "-np", str(RANKS), *words], check=True, timeout=600)
        found: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    return found


class Timings:
    """Records the ends of the stages of each move on this rank, and the durations of their parts, by layer."""

    def __init__(self) -> None:
        self.layer = -1
        self.ended: dict[int, dict[str, float]] = defaultdict(dict)
        self.took: dict[int, dict[str, float]] = defaultdict(lambda: defaultdict(float))

    def end(self, stage: str) -> None:
        """Records the end of a stage of the current layer, unless it is already recorded."""
        self.ended[self.layer].setdefault(stage, time.monotonic())

    def timed(self, owner: Any, name: str, part: str) -> None:
        """Adds the duration of each call of a function to a part."""
        original = getattr(owner, name)

        @functools.wraps(original)
        def wrapped(*args: Any, **keys: Any) -> Any:
            began = time.monotonic()
            try:
                return original(*args, **keys)
            finally:
                self.took[self.layer][part] += time.monotonic() - began

        setattr(owner, name, wrapped)


class CyclingScheduler:
    """Runs every layer on the next block of `BLOCKS`."""

    def __init__(self) -> None:
        self._blocks = itertools.cycle(BLOCKS)

    def starts(self, tasks: Mapping[str, Any], now: float) -> Iterator[tuple[Any, range]]:
        """See `Scheduler`."""
        for state in tasks.values():
            if state.waits and state.not_before <= now:
                yield state, next(self._blocks)

    def layer_ended(self, *_: Any) -> Mapping[str, Any]:
        """See `Scheduler`."""
        return {}


def as_rank(out: Path, layers: int) -> None:
    """Runs one rank of the job, with timings."""
    from hpcmtl.communicators.mpi import world as mpi_world

    pipeline, world, timings = import_module("hpcmtl.pipeline.run.entry"), mpi_world(), Timings()
    if world.rank == 0:
        write_job(out.parent, layers)
    world.barrier()
    import_module("hpcmtl.pipeline.run.attempt").scheduler_for = lambda *_: CyclingScheduler()  # type: ignore[attr-defined]
    control = instrument(timings)
    began = time.monotonic()
    result = pipeline.run(out.parent / "job.yaml", pipeline.RunOptions(out.parent / "runs"), world)
    wall = time.monotonic() - began
    assert result.status == "complete", result
    if world.rank == 0:
        check_moves(next((out.parent / "runs").iterdir()))
    every = world.gather((dict(timings.ended), {layer: dict(parts) for layer, parts in timings.took.items()}))
    if every is not None:
        out.write_text(json.dumps({**moves_of(every, layers), "control_cpu": control() / wall}), encoding="utf-8")


def check_moves(run: Path) -> None:
    """Checks that every layer ran on other ranks than the previous one."""
    from hpcmtl.results.ledger import read

    starts = [event for event in read(run / "events.jsonl") if event["event"] == "layer_started"]
    blocks = [range(event["first_rank"], event["first_rank"] + event["ranks"]) for event in starts]
    wanted = list(itertools.islice(itertools.cycle(BLOCKS), len(blocks)))
    assert blocks == wanted, f"layers ran on {blocks[:4]} ..., not on {wanted[:4]} ..."


def instrument(timings: Timings) -> Callable[[], float]:
    """Records the stages of all moves; returns a function that gives the CPU seconds of the control thread."""
    from hpcmtl.dispatch.rank import control, worker
    from hpcmtl.training.replica import Replica

    run_layer, done, carry = worker.Worker._run, worker.Worker._done, control.ControlThread.run  # noqa: SLF001
    step = Replica.step
    seconds = [0.0]

    def run_noted(self: Any, command: Any) -> None:
        timings.layer = command.layer
        timings.end("commanded")
        run_layer(self, command)

    def done_noted(self: Any, command: Any, outcome: Any) -> None:
        timings.end("reported")
        done(self, command, outcome)

    def step_noted(self: Any, *args: Any) -> None:
        timings.end("begun")
        step(self, *args)

    def carry_timed(self: Any) -> None:
        carry(self)
        seconds[0] = time.thread_time()

    worker.Worker._run, worker.Worker._done = run_noted, done_noted  # type: ignore[method-assign]  # noqa: SLF001
    control.ControlThread.run, Replica.step = carry_timed, step_noted  # type: ignore[method-assign]
    instrument_parts(timings)
    return lambda: seconds[0]


def instrument_parts(timings: Timings) -> None:
    """Records the durations of the parts of a move."""
    from hpcmtl.communicators.mpi import MpiCommunicator
    from hpcmtl.training.gluon.collectives.horovod import HorovodCollective
    from hpcmtl.training.gluon.learner import GluonLearner
    from hpcmtl.training.sessions import train

    timings.timed(MpiCommunicator, "create_group", "group")
    timings.timed(HorovodCollective, "__init__", "Horovod starts")
    timings.timed(HorovodCollective, "close", "Horovod ends")
    timings.timed(GluonLearner, "__init__", "network and optimizer")
    timings.timed(train.TrainSession, "__init__", "new session")
    timings.timed(train, "newest_state", "state found")
    timings.timed(GluonLearner, "load_state", "state loaded")


def moves_of(every: list[Any], layers: int) -> dict[str, Any]:
    """Returns the seconds of each move from the timings of all ranks; parts are those of the slowest rank."""
    moves: dict[str, Any] = {"total": [], "report to command": [], "command to first step": []}
    parts: dict[str, list[float]] = defaultdict(list)
    for layer in range(1, layers):
        reported = max(ended[layer - 1]["reported"] for ended, _ in every if layer - 1 in ended)
        commanded = max(ended[layer]["commanded"] for ended, _ in every if layer in ended)
        begun = max(ended[layer]["begun"] for ended, _ in every if layer in ended)
        moves["total"].append(begun - reported)
        moves["report to command"].append(commanded - reported)
        moves["command to first step"].append(begun - commanded)
        took = [took.get(layer, {}) for ended, took in every if layer in ended]
        for part in sorted({name for each in took for name in each}):
            parts[part].append(max(each.get(part, 0.0) for each in took))
    return {**moves, "parts": dict(parts)}


def write_job(folder: Path, layers: int) -> None:
    """Writes a job of one task with a network of 1 MB and few steps per layer."""
    import numpy as np
    import yaml

    from hpcmtl.data.hdf5 import write_dataset_file

    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (layers * STEPS * BATCH, 784)).astype(np.uint8)
    arrays = {"images": images, "labels": rng.integers(0, 10, len(images))}
    write_dataset_file(folder / "images.h5", arrays, np.zeros(len(images), np.uint8), overwrite=True)
    task = {"kind": "train", "input": "data/images", "target": "data/labels", "loss": "softmax_ce", "epochs": 1}
    task |= {"model": {"name": "mlp", "widths": [330], "outputs": 10}, "layers": layers, "batch_size": BATCH}
    job = {"hpcmtl": 1, "job": "moves", "ranks": RANKS, "data": {"data": "images.h5"}, "tasks": {"task": task}}
    (folder / "job.yaml").write_text(yaml.safe_dump(job), encoding="utf-8")


def show(moves: Mapping[str, Any], simulated: list[dict[str, Any]]) -> None:
    """Prints both tables."""
    table = Table(title=f"{len(moves['total'])} moves on {RANKS} ranks", title_justify="left")
    for column in ("", "median ms", "least", "most"):
        table.add_column(column, justify="right")
    rows = [(name, moves[name]) for name in ("total", "report to command", "command to first step")]
    for name, values in (*rows, *((f"of which: {name}", values) for name, values in moves["parts"].items())):
        table.add_row(name, *(f"{f(values) * 1e3:.1f}" for f in (median, min, max)))
    table.add_row("dispatcher's CPU", f"{moves['control_cpu']:.2%}", "", "")
    console.print(table)
    table = Table(title="the dispatcher, for a layer on a quarter of the ranks", title_justify="left")
    for column in ("ranks", "ms", "messages sent", "received"):
        table.add_column(column, justify="right")
    for row in simulated:
        table.add_row(str(row["ranks"]), f"{row['seconds'] * 1e3:.2f}", f"{row['sent']:.0f}", f"{row['received']:.0f}")
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())

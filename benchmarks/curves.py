"""Cost of curves: steps with and without them, and the fold of a long ledger.

One rank trains by the loop of `step_overhead.py`, some epochs without curves and some with curves and all sinks that
write, in turn. With them the rank makes points, measures norms of gradients, and its threads write files: it does what
rank 0 does in a job. The fold reads a ledger of 100,000 events, as `hpcmtl status` does.

    python benchmarks/curves.py [--framework torch] [--rounds 21] [--quick]

Exit code 1 if a bar is missed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parent))
from step_overhead import BATCH, IMAGES, OurLoop

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcmtl.communicators.base import Communicator
    from hpcmtl.results.curves.point import TaskPoints

EVENTS = 100_000
MOST_SHARE, MOST_SECONDS = 0.01, 1.0
"""Bars: share of the time of a step, and seconds of the fold."""


def main() -> int:
    """Prints a table, and the figures as JSON in the last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--framework", default="torch", choices=["torch", "gluon"])
    parser.add_argument("--rounds", type=int, default=21, help="pairs of measurements for each network")
    parser.add_argument("--epochs", type=int, default=2, help="epochs of one measurement")
    parser.add_argument("--quick", action="store_true", help="one network, three rounds, a short ledger")
    options = parser.parse_args()
    nets = ["mlp_small"] if options.quick else ["convnet", "mlp_small", "mlp_large"]
    rounds, epochs, events = (3, 1, 1000) if options.quick else (options.rounds, options.epochs, EVENTS)
    found: dict[str, Any] = {}
    for net in nets:
        share = step_share(options.framework, net, rounds, epochs)
        found[net] = share
        quarters = f"{share['first_quarter']:+.2%} to {share['third_quarter']:+.2%}"
        print(f"{options.framework} {net}: steps take {share['median']:+.2%} longer with curves (quartiles {quarters})")
    with tempfile.TemporaryDirectory() as folder:
        found["fold_seconds"] = fold_seconds(Path(folder) / "events.jsonl", events)
    print(f"a ledger of {events} events is read in {found['fold_seconds']:.2f} s")
    print(json.dumps(found))
    missed = [net for net in nets if found[net]["median"] > MOST_SHARE] + ["fold"] * (
        found["fold_seconds"] > MOST_SECONDS
    )
    print(f"missed: {', '.join(missed)}" if missed else "all bars are met")
    return 1 if missed else 0


def step_share(framework: str, net: str, rounds: int, epochs: int) -> dict[str, float]:
    """Returns quartiles of the relative change of the time of a step by curves, over pairs of measurements."""
    from hpcmtl.communicators.inproc import run_ranks

    with tempfile.TemporaryDirectory() as folder:
        ratios = run_ranks(1, lambda world: _ratios(world, Path(folder), (framework, net), (rounds, epochs)))[0]
    first, median, third = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else [ratios[0]] * 3
    return {"first_quarter": first - 1, "median": median - 1, "third_quarter": third - 1}


def _ratios(world: Communicator, folder: Path, what: tuple[str, str], how: tuple[int, int]) -> list[float]:
    import numpy as np

    from hpcmtl.data.hdf5 import write_dataset_file

    (framework, net), (rounds, epochs), rng = what, how, np.random.default_rng(0)
    arrays = {
        "images": rng.integers(0, 255, (IMAGES, 1, 28, 28)).astype(np.uint8),
        "digit": rng.integers(0, 10, IMAGES),
    }
    write_dataset_file(folder / "images.h5", arrays, np.zeros(IMAGES, np.uint8), {"images": {"scale": 1 / 255}})
    loop = OurLoop(world, folder / "images.h5", framework, net)
    recorder, sinks = _recorder(loop, world, folder, epochs * rounds)
    found = []
    for number in range(rounds + 1):
        seconds = {}
        for given in (None, recorder) if number % 2 else (recorder, None):
            loop.recorder, started = given, time.perf_counter()
            loop.train(epochs)
            seconds[given] = time.perf_counter() - started
        if number:  # the first round is a warm-up
            found.append(seconds[recorder] / seconds[None])
    for sink in sinks:
        sink.close()
    loop.replica.close()
    return found


def _recorder(loop: OurLoop, world: Communicator, folder: Path, epochs: int) -> tuple[Any, Sequence[Any]]:
    """Returns a recorder whose points go to all sinks that write, and these sinks."""
    from hpcmtl.results.rundir.directory import RunDirectory
    from hpcmtl.results.sinks.curve_writer import CurveWriter
    from hpcmtl.results.sinks.tracked import tracked_by
    from hpcmtl.training.sessions.curves import CurveRecorder
    from hpcmtl.training.task_steps import Steps

    run = RunDirectory(folder)
    sinks = [CurveWriter(run), *tracked_by(("tensorboard", "openmetrics"), run, "bench")]

    def show(points: TaskPoints) -> None:
        for sink in sinks:
            for point in points.points:
                sink.on_point(points.task, point)

    per_epoch = IMAGES // BATCH
    steps = Steps([0, per_epoch * epochs], [BATCH * step for step in range(per_epoch + 1)])
    made, skipped = SimpleNamespace(replica=loop.replica), SimpleNamespace(count=0)
    recorder = CurveRecorder(made, skipped, [SimpleNamespace(name="main")], steps)  # type: ignore[arg-type, list-item]
    context = SimpleNamespace(task="bench", group=world, add_points=show)
    recorder.enter(context, validates=False)  # type: ignore[arg-type]
    return recorder, sinks


def fold_seconds(path: Path, events: int) -> float:
    """Returns the seconds in which the state of a run is read from a ledger with some events."""
    from hpcmtl.results.run_state import read_run_state

    kinds = [
        {"event": "layer_started", "task": "t", "layer": 0, "layers": 9, "first_rank": 0, "ranks": 2},
        {"event": "checkpoint_written", "task": "t", "step": 5, "seconds": 0.1, "bytes": 100},
        {"event": "layer_ended", "task": "t", "layer": 0, "ranks": 2, "steps": 5, "metrics": {"loss": 0.5}},
    ]
    started = {"time": "2026-01-01T00:00:00+00:00", "event": "job_started", "job": "j", "ranks": 2, "format": 3}
    lines = [started, *({"time": started["time"], **kinds[at % len(kinds)]} for at in range(events - 1))]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    began = time.perf_counter()
    read_run_state(path)
    return time.perf_counter() - began


if __name__ == "__main__":
    sys.exit(main())

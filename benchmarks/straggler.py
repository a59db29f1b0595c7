"""Measures the gain from the detection of a slow rank: other processes share the core of one of two ranks.

    python benchmarks/straggler.py [--rounds 3] [--quick] [--json FILE]

Two tasks of many layers on one rank each. After the first layer, two processes begin to spin on the second rank's core.
Each round runs the job twice: with detection, and with a scheduler that keeps its first predictions.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RANKS, SPINNERS = 2, 2
LAYERS, EPOCHS = 12, 16


def main() -> int:
    """Runs both ways in turn, prints the ratios, and returns 0 if detection gains time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="one round, short tasks")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--as-rank", choices=["notices", "keeps"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--epochs", type=int, default=EPOCHS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.as_rank:
        as_rank(options.folder, options.as_rank, options.epochs)
        return 0
    if len(os.sched_getaffinity(0)) < RANKS:
        raise SystemExit(f"this needs {RANKS} cores")
    epochs = 1 if options.quick else options.epochs
    rounds = [
        {way: once(way, epochs) for way in (("notices", "keeps") if k % 2 else ("keeps", "notices"))}
        for k in range(1 if options.quick else options.rounds)
    ]
    ratios = [each["keeps"]["seconds"] / each["notices"]["seconds"] for each in rounds]
    for each, ratio in zip(rounds, ratios, strict=True):
        print(
            f"noticing {each['notices']['seconds']:.1f} s (layers on the slow rank: {each['notices']['slow']}), "
            f"keeping {each['keeps']['seconds']:.1f} s ({each['keeps']['slow']}), ratio {ratio:.2f}"
        )
    print(f"median ratio {median(ratios):.2f}; slow ranks were named: {rounds[-1]['notices']['named']}")
    if options.json:
        options.json.write_text(json.dumps(rounds, indent=1), encoding="utf-8")
    return 0 if median(ratios) > 1 else 1


def once(way: str, epochs: int) -> dict[str, Any]:
    """Runs the job and reads its ledger."""
    from hpcmtl.results.ledger import read
    from hpcmtl.results.rundir.directory import RunDirectory

    with tempfile.TemporaryDirectory() as folder:
        words = [sys.executable, "-m", "mpi4py", __file__, "--as-rank", way, "--folder", folder]
        launcher = [ROOT / "launchers" / "mpirun.sh", "-np", str(RANKS)]
        subprocess.run([*launcher, *words, "--epochs", str(epochs)], check=True, timeout=600, stderr=subprocess.DEVNULL)
        events = read(RunDirectory(next((Path(folder) / "runs").iterdir())).ledger_file)
    started = [event for event in events if event["event"] == "layer_started"]
    named = sorted({rank for event in events for rank in event.get("slow_ranks", [])})
    seconds = next(event["seconds"] for event in events if event["event"] == "job_ended")
    return {"seconds": seconds, "slow": sum(event["first_rank"] == 1 for event in started), "named": named}


def as_rank(folder: Path, way: str, epochs: int) -> None:
    """Runs one rank, bound to its own core."""
    from hpcmtl.communicators.mpi import world as mpi_world

    world = mpi_world()
    core = sorted(os.sched_getaffinity(0))[world.rank]
    os.sched_setaffinity(0, {core})
    pipeline, rolling_horizon = (
        import_module("hpcmtl.pipeline.run.entry"),
        import_module("hpcmtl.dispatch.scheduling.rolling_horizon"),
    )
    if way == "keeps":
        rolling_horizon.SURPRISE = float("inf")
        rolling_horizon.Stragglers.speeds = lambda self, _now: (1.0,) * len(self._paces)
    if world.rank == 0:
        write_job(folder, epochs)
    world.barrier()
    ended = threading.Event()
    load = threading.Thread(target=load_core, args=(folder / "runs", core, ended))
    if world.rank == 1:
        load.start()
    result = pipeline.run(folder / "job.yaml", pipeline.RunOptions(folder / "runs"), world)
    ended.set()
    if world.rank == 1:
        load.join()
    assert result.status == "complete", result


def load_core(runs: Path, core: int, ended: threading.Event) -> None:
    """Spins on a core from the end of the first layer to the end of the job."""
    while not any("layer_ended" in path.read_text(encoding="utf-8") for path in runs.glob("*/events.jsonl")):
        if ended.wait(0.05):
            return
    program = f"import os; os.sched_setaffinity(0, {{{core}}})\nwhile True: pass"
    spinners = [subprocess.Popen([sys.executable, "-c", program]) for _ in range(SPINNERS)]
    ended.wait()
    for spinner in spinners:
        spinner.kill()
        spinner.wait()


def write_job(folder: Path, epochs: int) -> None:
    """Writes a job of two equal tasks with many layers, each on one rank."""
    import numpy as np
    import yaml

    from hpcmtl.data.hdf5 import write_dataset_file

    rng = np.random.default_rng(0)
    arrays = {"x": rng.integers(0, 255, (6000, 784)).astype(np.uint8), "y": rng.integers(0, 10, 6000)}
    write_dataset_file(folder / "data.h5", arrays, np.zeros(6000, np.uint8), overwrite=True)
    task = {"kind": "train", "input": "data/x", "target": "data/y", "loss": "softmax_ce", "ranks": 1, "layers": LAYERS}
    task |= {"model": {"name": "mlp", "widths": [512], "outputs": 10}, "epochs": epochs, "batch_size": 64}
    job = {"hpcmtl": 1, "job": "straggler", "ranks": RANKS, "data": {"data": "data.h5"}}
    tasks = dict.fromkeys("ab", task)
    text = yaml.safe_dump({**job, "tasks": json.loads(json.dumps(tasks))}, sort_keys=False)
    (folder / "job.yaml").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())

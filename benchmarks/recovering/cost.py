"""Cost of checkpoints: slowdown of a training, and write rate beside h5py."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from datetime import datetime
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Any

import h5py
import numpy as np
import yaml

ROOT = Path(__file__).resolve().parents[2]
RANKS = 2
ONE_A_MINUTE = 0.001  # hours between failures; `auto` then uses its shortest interval
FIRST_STEPS = 20  # the first steps of a layer are slower


def beside_training(folder: Path, *, quick: bool) -> dict[str, Any]:
    """Trains with many checkpoints and returns their cost, each and in total."""
    folder.mkdir()
    write_job(folder, width=256 if quick else 1024, steps=600 if quick else 2400)
    words = [sys.executable, "-m", "mpi4py", __file__, folder]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    subprocess.run([ROOT / "launchers/mpirun.sh", "-np", str(RANKS), *words], check=True, timeout=900, env=env)
    times = json.loads((folder / "times.json").read_text())
    ledger = import_module("hpcmtl.results.ledger").read(next((folder / "runs").iterdir()) / "events.jsonl")
    written = [event for event in ledger if event["event"] == "checkpoint_written" and event["step"] < len(times)]
    return costs(np.asarray(times), written)


def costs(times: np.ndarray[Any, Any], written: list[dict[str, Any]]) -> dict[str, Any]:
    """Compares steps during the copy and write of a checkpoint with other steps.

    Args:
        times: (steps,) start of each step, in seconds since 1970.
        written: events of the ledger.
    """
    during = np.zeros(len(times) - 1, bool)
    windows = []
    for event in written:
        end = datetime.fromisoformat(event["time"]).timestamp()
        first = max(int(np.searchsorted(times, end - event["seconds"] - event["held"])) - 1, 0)
        last = min(int(np.searchsorted(times, end)) + 1, len(during))  # the next step may still wait for it
        during[first:last] = True
        windows.append((first, last))
    took = np.diff(times)
    during[:FIRST_STEPS] = False
    others = took[FIRST_STEPS:][~during[FIRST_STEPS:]]
    extra = [float(took[first:last].sum() - (last - first) * others.mean()) for first, last in windows]
    whole = float(times[-1] - times[FIRST_STEPS])
    return {
        "checkpoints": len(written),
        "bytes": written[-1]["bytes"] if written else 0,
        "seconds": [event["seconds"] for event in written],
        "held": [event["held"] for event in written],
        "extra": extra,
        "whole": whole,
        "step": float(others.mean()),
        "share": sum(extra) / whole,
    }


def write_job(folder: Path, width: int, steps: int) -> None:
    """Writes a job of one layer of a network with two wide layers and Adam."""
    from hpcmtl.data.hdf5 import write_dataset_file

    rng = np.random.default_rng(0)
    arrays = {"x": rng.integers(0, 255, (6400, 784)).astype(np.uint8), "y": rng.integers(0, 10, 6400)}
    write_dataset_file(folder / "data.h5", arrays, np.zeros(6400, np.uint8), overwrite=True)
    task = {"kind": "train", "input": "data/x", "target": "data/y", "loss": "softmax_ce", "layers": 1, "ranks": RANKS}
    task |= {"model": {"name": "mlp", "widths": [width, width], "outputs": 10}, "batch_size": 64}
    task |= {"epochs": steps // 100, "optimizer": {"name": "adam", "learning_rate": 0.0001}}
    job = {"hpcmtl": 1, "job": "cost", "ranks": RANKS, "data": {"data": "data.h5"}, "tasks": {"wide": task}}
    job["checkpoints"] = {"interval": "auto", "mtbf_hours": ONE_A_MINUTE}
    (folder / "job.yaml").write_text(yaml.safe_dump(job, sort_keys=False), encoding="utf-8")


def as_rank(folder: Path) -> None:
    """Runs one rank of the training; the first rank records the start of each step."""
    from hpcmtl import faults
    from hpcmtl.communicators.mpi import world as mpi_world

    world, times = mpi_world(), []

    def record(_task: str, _layer: int, step: int | None = None, _memory: object = None) -> None:
        if step is not None:
            times.append(time.time())

    faults.step_point = record
    pipeline = import_module("hpcmtl.pipeline.run.entry")
    result = pipeline.run(folder / "job.yaml", pipeline.RunOptions(folder / "runs"), world)
    assert result.status == "complete", result
    if world.rank == 0:
        (folder / "times.json").write_text(json.dumps(times), encoding="utf-8")


def writing(folder: Path, *, quick: bool) -> dict[str, Any]:
    """Writes a state as a checkpoint and as h5py with fsync, in turn; returns bytes and seconds of each."""
    from hpcmtl.exchange.store import seal

    folder.mkdir()
    width, rng = 1024 if quick else 2048, np.random.default_rng(0)
    shapes = {"0.weight": (width, 784), "1.weight": (width, width), "2.weight": (10, width), "1.bias": (width,)}
    parts = ("parameters", "optimizer/mean", "optimizer/variance")
    arrays = {f"{part}/{name}": rng.random(shape, np.float32) for part in parts for name, shape in shapes.items()}
    ways: dict[str, list[float]] = {"ours": [], "plain": []}
    for number in range(4 if quick else 12):
        for way in ("ours", "plain") if number % 2 else ("plain", "ours"):
            file, began = folder / f"{way}-{number}.h5", time.perf_counter()
            if way == "ours":
                seal(file, arrays, {"step": number})
            else:
                plain(file, arrays)
            ways[way].append(time.perf_counter() - began)
            file.unlink()
    ratios = [theirs / ours for ours, theirs in zip(ways["ours"][1:], ways["plain"][1:], strict=True)]  # 0: warm-up
    return {"bytes": sum(array.nbytes for array in arrays.values()), **ways, "ratio": median(ratios), "ratios": ratios}


def plain(path: Path, arrays: dict[str, np.ndarray[Any, Any]]) -> None:
    """Writes the same bytes without checksums, manifest and rename."""
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=array)
    descriptor = os.open(path, os.O_RDWR)
    os.fsync(descriptor)
    os.close(descriptor)


if __name__ == "__main__":
    as_rank(Path(sys.argv[1]))

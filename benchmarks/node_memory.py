"""Measures the memory that samples take on a node, by the number of ranks that train on them.

usage: python benchmarks/node_memory.py [--quick] [--ranks 1,2,4] [--mebibytes 200] [--streamed 2048] [--json FILE]

Each run trains a small network on a file of rows of 4 KiB. All processes of the run are asked for their proportional
set size ten times a second: a page of n processes counts as 1/n for each. The memory of the samples is the largest sum,
less that of the same run on 1 MiB. The bars: with 1, 2 and 4 ranks it differs by at most 10 percent for a file that one
rank may keep. For a file that all ranks together may not keep, on the most ranks, it is at most a quarter of the file,
under a limit (`ulimit -v`) that is too low for a copy a rank: the virtual size of a rank in the run on 1 MiB, and
half of the file. Linux alone.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import psutil
import yaml

from hpcmtl.data.hdf5 import write_dataset_file

ROOT = Path(__file__).resolve().parent.parent
WIDTH, MIB = 1024, 1 << 20
FLAT, STREAMED = 1.10, 0.25
SECONDS_BETWEEN_SAMPLES = 0.1


@dataclass(frozen=True)
class Peak:
    """Largest memory of one run.

    Attributes:
        pss: bytes of all processes together.
        virtual: bytes of the virtual memory of the process that has most of it.
        seconds: time of the whole run.
    """

    pss: int
    virtual: int
    seconds: float


def write_rows(path: Path, mebibytes: int) -> None:
    """Writes a file of equal rows with labels, all in train."""
    rows = mebibytes * MIB // (4 * WIDTH)
    row = np.random.default_rng(0).random(WIDTH, dtype=np.float32)
    arrays = {"x": np.broadcast_to(row, (rows, WIDTH)), "y": np.arange(rows) % 2}
    write_dataset_file(path, arrays, np.zeros(rows, np.uint8))


def run(folder: Path, file: str, ranks: int, epochs: int, limit: int | None = None) -> Peak:
    """Trains on a file, under a limit of the virtual memory of each process if one is given."""
    task = {"kind": "train", "model": {"name": "mlp", "widths": [8], "outputs": 2}, "input": "rows/x"}
    task |= {"target": "rows/y", "loss": "softmax_ce", "epochs": epochs, "layers": 1, "ranks": ranks}
    defaults = {"batch_size": 64}
    job = {"hpcmtl": 1, "job": "memory", "ranks": ranks, "data": {"rows": file}, "defaults": defaults}
    (folder / "job.yaml").write_text(yaml.safe_dump(job | {"tasks": {"net": task}}))
    command = f"{sys.executable} -m hpcmtl run job.yaml --runs runs --ranks {ranks}"
    words = ["bash", "-c", command if limit is None else f"ulimit -v {limit // 1024} && exec {command}"]
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    started, pss, virtual = time.perf_counter(), 0, 0
    with (folder / "output.txt").open("w") as output:
        process = subprocess.Popen(words, cwd=folder, env=environ, stdout=output, stderr=output)
        while process.poll() is None:
            found = [memory_of(each) for each in family(process.pid)]
            pss = max(pss, sum(each for each, _ in found))
            virtual = max(virtual, *(each for _, each in found), 0)
            time.sleep(SECONDS_BETWEEN_SAMPLES)
    if process.returncode:
        raise RuntimeError(f"{command} ended with {process.returncode}:\n{(folder / 'output.txt').read_text()}")
    return Peak(pss, virtual, time.perf_counter() - started)


def family(pid: int) -> list[psutil.Process]:
    """Returns a process and all that it has started."""
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def memory_of(process: psutil.Process) -> tuple[int, int]:
    """Returns the proportional set size and the virtual size of a process in bytes; 0 of one that has ended."""
    try:
        lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:")), process.memory_info().vms
    except (OSError, StopIteration, psutil.Error):
        return 0, 0


def in_memory(folder: Path, mebibytes: int, ranks: list[int], found: dict[str, Peak]) -> dict[int, float]:
    """Returns the mebibytes that a file in memory takes on a node, by the number of ranks."""
    write_rows(folder / "kept.h5", mebibytes)
    taken = {}
    for count in ranks:
        found[f"1 MiB, {count}"] = small = run(folder, "small.h5", count, epochs=50)
        found[f"{mebibytes} MiB, {count}"] = large = run(folder, "kept.h5", count, epochs=2)
        taken[count] = (large.pss - small.pss) / MIB
        print(f"{mebibytes} MiB in memory, {count} ranks: {taken[count]:.0f} MiB more than 1 MiB of samples")
    return taken


def main() -> int:
    """Measures both, prints the table, and returns 0 if the bars are met."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ranks", default="1,2,4")
    parser.add_argument("--mebibytes", type=int, default=200)
    parser.add_argument("--streamed", type=int, default=2048, help="MiB of the file that is not kept")
    parser.add_argument("--quick", action="store_true", help="2 ranks, 100 MiB in memory, 600 MiB streamed")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    if given.quick:
        given.ranks, given.mebibytes, given.streamed = "2", 100, 600
    ranks = [int(count) for count in given.ranks.split(",")]
    found: dict[str, Peak] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_rows(folder / "small.h5", 1)
        taken = in_memory(folder, given.mebibytes, ranks, found)
        write_rows(folder / "streamed.h5", given.streamed)
        small = found[f"1 MiB, {ranks[-1]}"]
        limit = small.virtual + given.streamed * MIB // 2
        found["streamed"] = streamed = run(folder, "streamed.h5", ranks[-1], epochs=1, limit=limit)
    spread, window = max(taken.values()) / min(taken.values()), (streamed.pss - small.pss) / MIB
    print(f"most over least: {spread:.2f}; bar {FLAT}")
    under = f"`ulimit -v` of {limit >> 20} MiB, too low for {small.virtual >> 20} MiB and a copy"
    more = f"{window:.0f} MiB more than 1 MiB of samples; bar {STREAMED} of the file"
    print(f"{given.streamed} MiB streamed by {ranks[-1]} ranks under {under}: {more}")
    if given.json:
        runs = {key: asdict(peak) for key, peak in found.items()}
        numbers = {"taken": taken, "spread": spread, "streamed": window, "limit": limit, "runs": runs}
        given.json.write_text(json.dumps(numbers, indent=2))
    return int(spread > FLAT or window > STREAMED * given.streamed)


if __name__ == "__main__":
    sys.exit(main())

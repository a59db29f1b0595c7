"""Compares adopted files with plain h5py and with sealed files: time and peak memory.

usage: python benchmarks/adopting.py [--mebibytes 500] [--rounds 5] [--json FILE]

Each round starts four programs, each in a process of its own, in alternating order. `adopt` is `hpcmtl data adopt` of
one file; `by hand` is a pass of h5py and zlib.crc32 over the same file in blocks of 1 MiB, which computes no statistics
and writes nothing. `adopted` and `sealed` read one epoch in the order of training, from the adopted file and from a
sealed copy of the same values. The bars are medians of ratios: adopt to by hand 3, adopted to sealed 1.2. Start and
imports count.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np

from hpcmtl.data.hdf5 import write_dataset_file
from hpcmtl.data.split import split_by_hash

COLUMNS = 1024
BARS = {"adopt to by hand": 3.0, "adopted to sealed": 1.2}
BY_HAND = """
import sys, zlib
import h5py

with h5py.File(sys.argv[1], "r") as file:
    for name in ("x", "y"):
        data, checksum = file[name], 0
        step = max(1, (1 << 20) // (data.dtype.itemsize * max(1, data.size // len(data))))
        for start in range(0, len(data), step):
            checksum = zlib.crc32(data[start : start + step], checksum)
"""
EPOCH = """
import sys
import numpy as np
from hpcmtl.data.blocks import epoch_order, global_batch
from hpcmtl.data.reader import open_array

with open_array(sys.argv[1], "x") as reader:
    order = epoch_order(np.arange(reader.samples), reader.block, 1, 0)
    window = 16 * reader.block
    for step in range(-(-len(order) // window)):
        reader.rows(global_batch(order, step, window), lambda: None)
"""


def write_files(folder: Path, mebibytes: int) -> None:
    """Writes a plain file and a sealed copy of it."""
    rows = mebibytes * (1 << 20) // (4 * COLUMNS)
    values = np.random.default_rng(0).normal(size=(rows, COLUMNS)).astype(np.float32)
    labels = np.arange(rows) % 10
    with h5py.File(folder / "plain.h5", "w") as file:
        file["x"], file["y"] = values, labels
    split = split_by_hash(rows, [0.8, 0.1, 0.1], 0)
    write_dataset_file(folder / "sealed.h5", {"x": values, "y": labels}, split)


def programs(folder: Path) -> dict[str, list[str]]:
    """Returns the command of each program."""
    plain, adopted = str(folder / "plain.h5"), str(folder / "adopted.h5")
    words = ["data", "adopt", plain, "--inputs", "x", "--targets", "y", "--to", adopted, "--force"]
    return {
        "by hand": ["-c", BY_HAND, plain],
        "adopt": ["-m", "hpcmtl", *words],
        "sealed": ["-c", EPOCH, str(folder / "sealed.h5")],
        "adopted": ["-c", EPOCH, adopted],
    }


def measured(words: list[str]) -> dict[str, float]:
    """Returns the seconds of a program and its peak memory in MiB; a small process starts it, as ours would count."""
    starter = (
        "import os, subprocess, sys, time\nstart = time.monotonic()\n"
        "process = subprocess.Popen([sys.executable, *sys.argv[1:]], stdout=subprocess.DEVNULL)\n"
        "_, status, usage = os.wait4(process.pid, 0)\n"
        "print(status, time.monotonic() - start, usage.ru_maxrss / 1024)"
    )
    done = subprocess.run([sys.executable, "-S", "-c", starter, *words], capture_output=True, text=True, check=True)
    status, seconds, mebibytes = map(float, done.stdout.split())
    if status:
        raise SystemExit(done.stderr)
    return {"seconds": seconds, "mebibytes": mebibytes}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mebibytes", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write_files(Path(folder), given.mebibytes)
        commands = programs(Path(folder))
        measured(commands["adopt"])  # the file that `adopted` reads
        found = [
            {name: measured(commands[name]) for name in sorted(commands, reverse=bool(number % 2))}
            for number in range(given.rounds)
        ]
    for name in commands:
        seconds = statistics.median(each[name]["seconds"] for each in found)
        print(f"{name}: median {seconds:.2f} s, peak {max(each[name]['mebibytes'] for each in found):.0f} MiB")
    ratios = {}
    for pair, bar in BARS.items():
        ours, _, theirs = pair.partition(" to ")
        ratios[pair] = statistics.median(each[ours]["seconds"] / each[theirs]["seconds"] for each in found)
        print(f"{pair}: median of ratios {ratios[pair]:.2f}; bar {bar}")
    if given.json:
        given.json.write_text(json.dumps({"rounds": found, "ratios": ratios}, indent=2))
    sys.exit(int(any(ratios[pair] > bar for pair, bar in BARS.items())))


if __name__ == "__main__":
    main()

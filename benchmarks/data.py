"""Compares `hpcmtl data seal` with a script of pandas and h5py written by hand: time and peak memory.

usage: python benchmarks/data.py [--rows 1000000] [--columns 20] [--rounds 5] [--json FILE]

Each round seals one CSV file by both, each in a process of its own, in alternating order. The bar: the median of the
ratios of times is at most 1.2, and the peak memory is bounded: pyarrow reads some blocks ahead, so that it grows up to
about a million rows and not beyond (run it with other --rows). The script by hand reads the
whole table into memory, standardises by the train rows, and writes the same datasets with the same chunks and checksums
of HDF5; it does not compute the checksums of hpcmtl, makes no file atomically, and refuses nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

BAR = 1.2
BY_HAND = """
import sys
import h5py
import numpy as np
import pandas as pd

source, out = sys.argv[1:]
table = pd.read_csv(source)
split = np.searchsorted([0.8, 0.9], np.random.default_rng(0).random(len(table)), side="right").astype(np.uint8)
inputs = table.drop(columns=["y"])
train = inputs[split == 0]
inputs = ((inputs - train.mean()) / train.std(ddof=0)).to_numpy(np.float32)
rows = max(1, (1 << 20) // (4 * inputs.shape[1]))
with h5py.File(out, "w") as file:
    file.create_dataset("inputs", data=inputs, chunks=(min(rows, len(inputs)), inputs.shape[1]), fletcher32=True)
    file["y"], file["split"] = table["y"].to_numpy(np.int32), split
"""
SEALED = """
import sys
import hpcmtl.data

hpcmtl.data.seal(sys.argv[2], sys.argv[1], {"targets": ["y"]})
"""


def write_table(path: Path, rows: int, columns: int) -> None:
    """Writes a CSV file of floats with six digits, and a label of three classes."""
    rng = np.random.default_rng(0)
    with path.open("w") as file:
        file.write(",".join([*(f"x{number}" for number in range(columns - 1)), "y"]) + "\n")
        for start in range(0, rows, 20_000):
            count = min(20_000, rows - start)
            values = np.column_stack([rng.normal(50, 9, (count, columns - 1)), rng.integers(0, 3, count)])
            np.savetxt(file, values, fmt=["%.4f"] * (columns - 1) + ["%d"], delimiter=",")


def measured(program: str, source: Path, out: Path) -> tuple[float, float, float]:
    """Returns the seconds of a program in a process of its own, those of the processor, and its peak memory in MiB."""
    out.unlink(missing_ok=True)
    start = time.monotonic()
    process = subprocess.Popen([sys.executable, "-c", program, source, out])
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"a program ended with {status}")
    return time.monotonic() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--columns", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder, "table.csv"), Path(folder, "out.h5")
        write_table(source, given.rows // 4, given.columns)
        quarter = measured(SEALED, source, out)[-1]
        write_table(source, given.rows, given.columns)
        found = compared(source, out, given.rounds)
    ratios, of_processor = (
        [ours / theirs for ours, theirs in zip(found[kind]["hpcmtl"], found[kind]["by hand"], strict=True)]
        for kind in ("seconds", "processor")
    )
    ratio = statistics.median(ratios)
    for name, seconds in found["seconds"].items():
        print(f"{name}: median {statistics.median(seconds):.2f} s, peak {max(found['mebibytes'][name]):.0f} MiB")
    print(f"hpcmtl for a quarter of the rows: peak {quarter:.0f} MiB")
    print(f"ratio of times: median {ratio:.2f}, {min(ratios):.2f} to {max(ratios):.2f}; bar {BAR}")
    print(f"ratio of processor times: median {statistics.median(of_processor):.2f}")
    if given.json:
        given.json.write_text(json.dumps({**found, "quarter": quarter, "ratios": ratios, "ratio": ratio}, indent=2))
    sys.exit(int(ratio > BAR))


def compared(source: Path, out: Path, rounds: int) -> dict[str, dict[str, list[float]]]:
    """Returns seconds, processor seconds and peak memory of both programs in each round; the order alternates."""
    programs = {"hpcmtl": SEALED, "by hand": BY_HAND}
    found = {kind: {name: [] for name in programs} for kind in ("seconds", "processor", "mebibytes")}
    for number in range(rounds):
        for name in sorted(programs, reverse=bool(number % 2)):
            for values, value in zip(found.values(), measured(programs[name], source, out), strict=True):
                values[name].append(value)
    return found


if __name__ == "__main__":
    main()

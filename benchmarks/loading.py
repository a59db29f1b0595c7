"""Compares the rate at which batches come with that of reading the same bytes by h5py, one after the other.

usage: python benchmarks/loading.py [--mebibytes 512] [--rounds 5] [--quick] [--json FILE]

One process reads an epoch of shuffled batches of 64 rows of 4 KiB, and nothing trains on them: once with a memory
budget of 0 (streaming: windows of blocks are read ahead), and once from memory, in the second epoch. By hand, h5py
reads the same file in consecutive pieces of 1 MiB; numpy copies the rows of each batch in a random order, for
comparison. Each round measures all in one process, after a reading that has filled the page cache. The bars are on
medians of ratios: streaming at least 0.7 of h5py's rate, in memory at least 0.95.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np

from hpcmtl.data.batches import Batches, BatchSpec, epochs_of
from hpcmtl.data.cursor import Cursor
from hpcmtl.data.hdf5 import write_dataset_file
from hpcmtl.data.sources import Source

WIDTH, BATCH = 1024, 64
BARS = {"streaming": 0.7, "in memory": 0.95}


def seconds_of_batches(spec: BatchSpec, epoch: int) -> float:
    """Returns the seconds of one epoch of batches."""
    start = time.perf_counter()
    with Batches(spec, Cursor(epoch, 0, 0), Cursor(epoch + 1, 0, 0), 0, 1) as batches:
        rows = sum(len(batch.indices) for batch in batches)
    assert rows == epochs_of(spec).bounds[-1]
    return time.perf_counter() - start


def seconds_by_hand(path: Path) -> float:
    """Returns the seconds in which h5py reads all rows in consecutive pieces."""
    start = time.perf_counter()
    with h5py.File(path) as file:
        dataset = file["x"]
        for at in range(0, len(dataset), (1 << 20) // (4 * WIDTH)):
            dataset[at : at + (1 << 20) // (4 * WIDTH)]
    return time.perf_counter() - start


def seconds_of_copies(values: np.ndarray, order: np.ndarray) -> float:
    """Returns the seconds in which numpy copies the rows of each batch from memory."""
    start = time.perf_counter()
    for at in range(0, len(order), BATCH):
        values[order[at : at + BATCH]]
    return time.perf_counter() - start


def one_round(path: Path, values: np.ndarray, number: int) -> dict[str, float]:
    """Returns the ratio of rates, ours to that by hand, of both ways of reading."""
    spec = BatchSpec((Source("x", path, "x"),), BATCH, memory_budget=0)
    ours, by_hand = seconds_of_batches(spec, number), seconds_by_hand(path)
    held = replace(spec, memory_budget=2 * values.nbytes)
    seconds_of_batches(held, 0)  # reads the split
    order = np.random.default_rng(number).permutation(len(values))
    from_memory, copies = seconds_of_batches(held, 1), seconds_of_copies(values, order)
    return {
        "streaming": by_hand / ours,
        "in memory": by_hand / from_memory,
        "of copies": copies / from_memory,
        "seconds": ours,
        "seconds in memory": from_memory,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mebibytes", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="one round of 32 MiB")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    if given.quick:
        given.mebibytes, given.rounds = 32, 1
    rows = given.mebibytes * (1 << 20) // (4 * WIDTH)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.h5"
        values = np.random.default_rng(0).random((rows, WIDTH), dtype=np.float32)
        write_dataset_file(path, {"x": values}, np.zeros(rows, np.uint8))
        seconds_by_hand(path)
        found = [one_round(path, values, number) for number in range(given.rounds)]
    medians = {key: statistics.median(each[key] for each in found) for key in found[0]}
    for way, bar in BARS.items():
        rates = [each[way] for each in found]
        print(f"{way}: median {medians[way]:.2f} of the rate by hand ({min(rates):.2f} to {max(rates):.2f}); bar {bar}")
    print(f"from memory: {medians['of copies']:.2f} of the rate at which numpy copies the rows of each batch")
    streaming, in_memory = medians["seconds"], medians["seconds in memory"]
    print(f"{given.mebibytes} MiB: {streaming:.2f} s streaming, {in_memory:.2f} s from memory")
    if given.json:
        given.json.write_text(json.dumps(found, indent=2))
    sys.exit(int(any(medians[way] < bar for way, bar in BARS.items())))


if __name__ == "__main__":
    main()

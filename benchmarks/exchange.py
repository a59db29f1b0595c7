"""Compares moves of arrays between groups of different width with raw MPI messages and with files.

    python benchmarks/exchange.py [--sizes 65536,1048576,67108864] [--rounds 15] [--quick] [--json FILE]

One mpirun of 4 ranks alternates, round by round: `redistribute`; raw mpi4py `Isend` and `Irecv` of the same bytes
between the same processes, including those that a rank keeps; and, less often, the path without memory: the rows are
gathered, sealed in HDF5, read back, checked and sent to all receivers. Exit code 1 if, at the largest size, the median
of the paired ratios to raw MPI is below 0.7 in any case.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable

    from hpcmtl.communicators.mpi import MpiCommunicator

ROOT = Path(__file__).resolve().parent.parent
BAR = 0.7
RANKS = 4
ROW = 256  # numbers of 4 bytes per row
# Name -> ranks that hold the rows, and ranks that request them; each has an equal share.
CASES = {
    "1 to 1": ([0], [1]),
    "1 to 3": ([0], [1, 2, 3]),
    "2 to 2": ([0, 1], [2, 3]),
    "3 to 1": ([0, 1, 2], [3]),
    "2 to 3, one in both": ([0, 1], [1, 2, 3]),
    "3 to 2, both in the three": ([0, 1, 2], [1, 2]),
    "4 to 4, the other way round": ([0, 1, 2, 3], [3, 2, 1, 0]),
}


def main() -> int:
    """Measures, prints the table, and returns 0 if the bar is met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default=f"{64 << 10},{1 << 20},{64 << 20}", help="bytes of the whole array")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--quick", action="store_true", help="5 rounds, 1 and 16 MiB")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--as-rank", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    sizes = [int(size) for size in options.sizes.split(",")]
    if options.as_rank:
        measure(options.as_rank, sizes, options.rounds)
        return 0
    if options.quick:
        sizes, options.rounds = [1 << 20, 16 << 20], 5
    rows = launch(sizes, options.rounds)
    show(rows)
    if options.json:
        options.json.write_text(json.dumps({"bar": BAR, "rows": rows}, indent=2))
    return 0 if all(row["ratio"] >= BAR for row in rows if row["bytes"] == max(sizes)) else 1


def launch(sizes: list[int], rounds: int) -> list[dict[str, Any]]:
    """Measures in one mpirun."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.json"
        words = [sys.executable, "-m", "mpi4py", __file__, "--as-rank", str(out), "--rounds", str(rounds)]
        words += ["--sizes", ",".join(map(str, sizes))]
        subprocess.run([ROOT / "launchers/mpirun.sh", "-np", str(RANKS), *words], check=True, timeout=900)
        found: list[dict[str, Any]] = json.loads(out.read_text())
    return found


def show(rows: list[dict[str, Any]]) -> None:
    """Prints the results."""
    table = Table(title="an array moves from group to group (medians)")
    heads = [
        "case",
        "MiB",
        "between processes",
        "redistribute",
        "raw MPI",
        "ratio",
        "least",
        "most",
        "by HDF5",
        "times",
    ]
    for head in heads:
        table.add_column(head, justify="left" if head == "case" else "right")
    for row in rows:
        size, seconds = row["bytes"] / 2**30, {way: statistics.median(row[way]) for way in ("ours", "raw", "file")}
        table.add_row(
            row["case"],
            f"{row['bytes'] / 2**20:g}",
            f"{row['between']:.0%}",
            f"{size / seconds['ours']:.2f} GiB/s",
            f"{size / seconds['raw']:.2f} GiB/s",
            f"{row['ratio']:.2f}",
            f"{min(row['ratios']):.2f}",
            f"{max(row['ratios']):.2f}",
            f"{1e3 * seconds['file']:.1f} ms",
            f"{seconds['file'] / seconds['ours']:.0f}",
        )
    Console(width=140).print(table)


def measure(out: Path, sizes: list[int], rounds: int) -> None:
    """Runs one rank: alternates the methods; rank 0 writes the times."""
    from hpcmtl.communicators.mpi import world as mpi_world

    world = mpi_world()
    found = []
    for size in sizes:
        for case, (givers, takers) in CASES.items():
            row = measure_case(world, (givers, takers), size, rounds, out.with_name("array.h5"))
            found.append({"case": case, **row})
    if world.rank == 0:
        out.write_text(json.dumps(found))


def measure_case(
    world: MpiCommunicator, groups: tuple[list[int], list[int]], size: int, rounds: int, path: Path
) -> dict[str, Any]:
    """Alternates the methods of moving one array; the first round, which touches all memory, is not counted."""
    from hpcmtl.exchange.redistribute import ArrayRows, dealt, plan_moves, redistribute

    count = size // (4 * ROW)
    have, want = (dealt(ranks, count) for ranks in groups)
    moves = plan_moves(have, want)
    whole = np.arange(count * ROW, dtype=np.float32).reshape(count, ROW)
    mine = [ArrayRows(b.start, whole[b.start : b.stop].copy()) for b in have if b.rank == world.rank]
    into = [ArrayRows(b.start, np.zeros((b.stop - b.start, ROW), "f4")) for b in want if b.rank == world.rank]
    ways = {
        "ours": lambda: redistribute(world, moves, mine, into),
        "raw": raw_messages(world, [(m.source, m.dest, (m.stop - m.start) * ROW * 4) for m in moves]),
    }
    times: dict[str, list[float]] = {"ours": [], "raw": [], "file": []}
    for number in range(rounds + 1):
        for name in sorted(ways, reverse=bool(number % 2)):
            times[name].append(timed(world, ways[name]))
    assert all(np.array_equal(rows.array, whole[rows.start : rows.stop]) for rows in into)
    by_file = through_a_file(world, groups, mine[0].array if mine else np.empty((0, ROW), "f4"), path)
    times["file"] = [timed(world, by_file) for _ in range(max(3, rounds // 5))]
    times = {name: seconds[1:] for name, seconds in times.items()}
    ratios = [raw / ours for raw, ours in zip(times["raw"], times["ours"], strict=True)]
    between = sum(m.stop - m.start for m in moves if m.source != m.dest) / count
    return {"bytes": size, "between": between, **times, "ratios": ratios, "ratio": statistics.median(ratios)}


def timed(world: MpiCommunicator, way: Callable[[], None]) -> float:
    """Returns the seconds until the last rank is done, after a common start."""
    world.barrier()
    start = time.perf_counter()
    way()
    seconds = np.array([time.perf_counter() - start])
    world.Allreduce(seconds, "max")
    return float(seconds[0])


def raw_messages(world: MpiCommunicator, messages: list[tuple[int, int, int]]) -> Callable[[], None]:
    """Returns a function that sends the same bytes between the same processes with mpi4py, from prepared buffers."""
    from mpi4py import MPI

    native = world.native
    sends = [(np.ones(size, "u1"), dest) for source, dest, size in messages if source == world.rank]
    receives = [(np.ones(size, "u1"), source) for source, dest, size in messages if dest == world.rank]

    def send_and_receive() -> None:
        requests = [native.Irecv(array, source, 1) for array, source in receives]
        requests += [native.Isend(array, dest, 1) for array, dest in sends]
        MPI.Request.Waitall(requests)

    return send_and_receive


def through_a_file(
    world: MpiCommunicator, groups: tuple[list[int], list[int]], mine: np.ndarray[Any, Any], path: Path
) -> Callable[[], None]:
    """Returns a function that gathers the rows on one rank, seals them, and shares them in the other group."""
    from hpcmtl.exchange.store import read_sealed, seal
    from hpcmtl.exchange.transfer import gather_rows, share

    givers, takers = (world.create_group(ranks, tag=0) if world.rank in ranks else None for ranks in groups)

    def write_and_read() -> None:
        if givers is not None:
            rows = gather_rows(givers, mine)
            if rows is not None:
                seal(path, {"rows": rows}, {})
        world.barrier()
        if takers is not None:
            share(takers, lambda: read_sealed(path))

    return write_and_read


if __name__ == "__main__":
    sys.exit(main())

"""What it costs to lose a run, and what it costs not to: kills and resumes, checkpoints, and the way back.

usage: python benchmarks/recovery.py [--quick] [--only kills cost writing restart slurm] [--rounds N] [--json FILE]

kills    attempts at one job on 4 ranks are killed at random: at a step, in the middle of writing a file, with damage to
         what was written, by SIGKILL to a rank, to all or to mpirun at any time. `hpcmtl resume` goes on, sometimes on
         other numbers of ranks, until the run is complete: its weights must be those of a run that nobody disturbed.
cost     what part of the run time checkpoints take: the copy, and what writing beside the training slows.
writing  how fast a checkpoint is written, beside h5py and fsync of the same bytes.
restart  from the death of a rank to the first step of the next attempt, by `hpcmtl resume`.
slurm    the same by a requeue in a real Slurm (tests/slurm/cluster.sh).
Exit 1 if anything was wrong, or a bar is missed.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
from recovering.rounds import rounds
from recovering.runs import Shape, build_data

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what was asked for, and say whether all of it is as it must be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="little of each, no Slurm")
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=None, metavar="PART")
    parser.add_argument("--rounds", type=int, default=100, help="kills")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write all numbers to this file as well")
    options = parser.parse_args(arguments)
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="hpcmtl-recovery-") as folder:
        for name in options.only or [name for name in PARTS if not (options.quick and name == "slurm")]:
            found[name] = PARTS[name](Path(folder), options)
    if options.json is not None:
        options.json.write_text(json.dumps(found, indent=1), encoding="utf-8")
    return 0 if all(part["good"] for part in found.values()) else 1


def kills(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Killed at random, and resumed."""
    data = build_data(folder)
    shape = Shape(data, layers=2, epochs=4) if options.quick else Shape(data)
    found = rounds(folder / "kills", shape, 3 if options.quick else options.rounds, np.random.default_rng(options.seed))
    for wrong in found["wrong"]:
        print(wrong)
    killed = ", ".join(f"{count} {kind}" for kind, count in sorted(found["kills"].items()))
    print(f"{sum(found['kills'].values())} kills in {found['runs']} runs: {killed}")
    if found["lost"]:
        steps = f"{median(found['lost']):g} steps, {max(found['lost'])} at most, of {found['steps']}"
        print(f"lost at a kill, of the task that was hit: {steps} ({len(found['lost'])} kills)")
    print(f"{len(found['wrong'])} things wrong")
    return {**found, "good": not found["wrong"]}


PARTS: dict[str, Callable[[Path, argparse.Namespace], dict[str, Any]]] = {"kills": kills}

if __name__ == "__main__":
    sys.exit(main())

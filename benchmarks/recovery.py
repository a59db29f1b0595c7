"""Measures recovery: kills and resumes, cost of checkpoints, and time until training continues.

usage: python benchmarks/recovery.py [--quick] [--only PART ...] [--framework NAME] [--rounds N]
                                      [--losses N] [--json FILE]

kills    attempts at one job on 4 ranks are killed at random: at a step, while writing a file, with damage to the file,
         by SIGKILL to a rank, to all ranks or to mpirun at any time. `hpcmtl resume` continues, sometimes on other
         numbers of ranks, until the run is complete: its weights must equal those of an undisturbed run.
cost     fraction of the run time spent on checkpoints: the copy, and the slowdown while the file is written.
writing  write rate of a checkpoint, beside h5py and fsync of the same bytes.
restart  time from the death of a rank to the first step of the next attempt, by `hpcmtl resume`.
slurm    the same by a requeue in a real Slurm (tests/slurm/cluster.sh).
in-place the same without a new attempt, on the surviving ranks.
Exit code 1 if a check fails or a bar is missed.
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
from recovering.cost import beside_training
from recovering.cost import writing as write_in_turn
from recovering.in_place import losses, print_losses
from recovering.restart import by_requeue, by_resume
from recovering.rounds import rounds
from recovering.runs import Shape, build_data

from hpcmtl.training.checkpointing.interval import best_interval

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

COST, RATE, BACK = 0.03, 0.7, 3.0  # bars: fraction of run time, fraction of the plain write rate, seconds


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures the selected parts and returns 0 if all checks pass and all bars are met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small amounts, no Slurm")
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=None, metavar="PART")
    parser.add_argument("--rounds", type=int, default=100, help="number of kills")
    parser.add_argument("--losses", type=int, default=20, help="number of runs that lose a rank and recover in place")
    parser.add_argument("--framework", default="gluon", help="of the job of `kills`")
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
    """Kills attempts at random and resumes them."""
    data = build_data(folder)
    size = {"layers": 2, "epochs": 4} if options.quick else {}
    shape = Shape(data, framework=options.framework, **size)
    found = rounds(folder / "kills", shape, 2 if options.quick else options.rounds, np.random.default_rng(options.seed))
    killed = ", ".join(f"{count} {kind}" for kind, count in sorted(found["kills"].items()))
    print(f"{sum(found['kills'].values())} kills in {found['runs']} runs: {killed}")
    if found["lost"]:
        steps = f"{median(found['lost']):g} steps, {max(found['lost'])} at most, of {found['steps']}"
        print(f"lost at a kill, of the task that was hit: {steps} ({len(found['lost'])} kills)")
    print(f"{len(found['wrong'])} failed checks")
    return {**found, "good": not found["wrong"]}


def cost(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Measures the cost of checkpoints at the chosen interval."""
    found = beside_training(folder / "cost", quick=options.quick)
    count = found["checkpoints"]
    if not count:
        raise SystemExit("no checkpoint was written inside the layer: the training was too short")
    each, writes = sum(found["extra"]) / count, median(found["seconds"])
    print(
        f"{count} checkpoints of {found['bytes'] / 2**20:.1f} MiB in {found['whole']:.1f} s: {writes:.3f} s of "
        f"writing, {median(found['held']):.3f} s held, {each:.3f} s lost each; {found['share']:.2%} of the time, as "
        "often as `auto` ever writes"
    )
    for hours in (1, 24):
        interval = best_interval(writes + median(found["held"]), hours * 3600)
        found[f"share at {hours} h"] = each / (interval + each)
        print(
            f"one failure every {hours} h on average: interval {interval:.0f} s, "
            f"{each / (interval + each):.3%} of the time"
        )
    return {**found, "good": found["share at 1 h"] <= COST}


def writing(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Measures the write rate beside that of h5py."""
    found = write_in_turn(folder / "writing", quick=options.quick)
    size = found["bytes"] / 2**20
    print(
        f"{size:.0f} MiB: {size / median(found['ours']):.0f} MiB/s, h5py and fsync {size / median(found['plain']):.0f} "
        f"MiB/s; ratio {found['ratio']:.2f} ({min(found['ratios']):.2f} to {max(found['ratios']):.2f}), bar {RATE}"
    )
    return {**found, "good": found["ratio"] >= RATE}


def restart(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Measures the restart by resume."""
    return restart_times("hpcmtl resume", by_resume(folder, build_data(folder), 1 if options.quick else 7))


def slurm(folder: Path, _options: argparse.Namespace) -> dict[str, Any]:
    """Measures the restart by a requeue."""
    times = by_requeue(folder, build_data(folder), 3)
    if times is None:
        print("a requeue in Slurm: skipped, Slurm is missing and cannot be installed")
        return {"good": True}
    return restart_times("a requeue in Slurm", times)


def restart_times(way: str, times: list[dict[str, float]]) -> dict[str, Any]:
    """Prints the times of a restart."""
    words = {"ended": "all processes have ended", "layer": "a layer starts", "step": "its first step is done"}
    found = {key: [each[key] - each["killed"] for each in times] for key in words if key in times[0]}
    print(f"{way}, seconds from the death of a rank, {len(times)} times (median, least, most):")
    for key, values in found.items():
        print(f"  until {words[key]}: {median(values):.2f}, {min(values):.2f}, {max(values):.2f}")
    return {**found, "good": True}


def in_place(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Measures recovery without a new attempt."""
    count = 2 if options.quick else options.losses
    found = losses(folder / "in-place", build_data(folder), count, np.random.default_rng(options.seed))
    print(f"in place, seconds from the death of a rank, {len(found['step'])} times:")
    print_losses(found)
    return {**found, "good": not found["wrong"] and median(found["step"]) <= BACK}


PARTS: dict[str, Callable[[Path, argparse.Namespace], dict[str, Any]]] = {
    "kills": kills,
    "cost": cost,
    "writing": writing,
    "restart": restart,
    "slurm": slurm,
    "in-place": in_place,
}

if __name__ == "__main__":
    sys.exit(main())

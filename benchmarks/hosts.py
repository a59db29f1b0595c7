"""Compares plans of jobs on two hosts that a slow network joins, each with the ranks of its own host.

usage: python benchmarks/hosts.py [--rounds N] [--rate RATE] [--json FILE]        as root, with iproute2

The jobs are the digits example and the family of `makespan.py`, on two hosts of two ranks at 1 Gb/s (network namespaces
of this machine, each with half of its cores: `tests/hosts/two_hosts.sh`). Three ways: hpcmtl's own plan, one host
alone, and one rank for each task. The seconds are those of the run itself, from its first event to its last. A ratio
above 1 means that the way was faster than hpcmtl's plan.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import yaml
from makespan import family

from hpcmtl.results.ledger import read

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT = Path(__file__).parents[1]
HOSTS = ROOT / "tests" / "hosts" / "two_hosts.sh"
NAME = f"b{os.getpid()}"
WAYS: Mapping[str, Sequence[str]] = {
    "hpcmtl": ("--hosts", f"{NAME}a:2,{NAME}b:2"),
    "one host": ("--hosts", f"{NAME}a:2"),
    "one rank a task": ("--hosts", f"{NAME}a:2,{NAME}b:2", "--policy", "one_rank"),
}


def main() -> None:
    """Runs each way of each job in turn, and prints the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rate", default="1gbit", help="of the network, as `tc` takes it")
    parser.add_argument("--json", type=Path, help="write all numbers to this file as well")
    options = parser.parse_args()
    subprocess.run([sys.executable, ROOT / "datasets/mnist5k.py"], check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    subprocess.run([HOSTS, "start", NAME, options.rate], check=True)
    found: dict[str, dict[str, list[float]]] = {}
    try:
        with tempfile.TemporaryDirectory() as scratch:
            makespan = Path(scratch) / "family.yaml"
            makespan.write_text(yaml.safe_dump(family(quick=False)), encoding="utf-8")
            for job in (ROOT / "examples" / "digits.yaml", makespan):
                found[job.stem] = {way: [] for way in WAYS}
                for number in range(options.rounds):
                    for way in [*WAYS] if number % 2 == 0 else [*reversed(WAYS)]:
                        found[job.stem][way].append(seconds_of(job, way, Path(scratch) / f"{job.stem}-{number}-{way}"))
    finally:
        subprocess.run([HOSTS, "stop", NAME], check=True)
    for job_name, ways in found.items():
        own = median(ways["hpcmtl"])
        for way, seconds in ways.items():
            listed = " ".join(f"{each:.1f}" for each in seconds)
            print(f"{job_name:8} {way:16} {median(seconds):6.1f} s ({listed})  {own / median(seconds):.2f}")
    if options.json:
        options.json.write_text(json.dumps(found, indent=2), encoding="utf-8")


def seconds_of(job: Path, way: str, runs: Path) -> float:
    """Runs a job in one of the ways, and returns the seconds between the first and the last event of its run."""
    program = Path(sys.executable).with_name("hpcmtl")
    words = [HOSTS, "on", f"{NAME}a", program, "run", job, "--runs", runs, *WAYS[way]]
    subprocess.run(words, check=True, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    (ledger,) = runs.glob("*/events.jsonl")
    layers = [event for event in read(ledger) if event["event"] in {"job_started", "job_ended"}]
    return float(layers[-1]["seconds"])


if __name__ == "__main__":
    main()

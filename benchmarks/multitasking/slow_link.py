"""Steps with 10 objectives on two hosts at 1 Gb/s: time and bytes by shards, beside sums of whole rows on all ranks.

The hosts are network namespaces of this machine (`tests/hosts/two_hosts.sh`), which needs root and iproute2.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from multitasking.family import ROOT

HOSTS = ROOT / "tests" / "hosts" / "two_hosts.sh"
NONE_HERE = 77
"""Exit code of the script where there can be no such hosts."""
RATE = "1gbit"
SLOTS, QUICK_SLOTS = (1, 2), (1,)
"""Numbers of ranks on each host."""
ROUNDS, QUICK_ROUNDS = 11, 2
BAR, BYTES_BAR = 0.8, 1.1
"""Most time of a step by shards over one with whole rows; most bytes over those of the formula, for headers."""
DIFFERENCE = 1e-4
"""Largest relative difference of the parameters of both programs, whose sums have another order."""


def steps_on(name: str, slots: int, rounds: int) -> dict[str, Any]:
    """Returns what the ranks of both hosts measured."""
    program = Path(sys.executable)
    command = [HOSTS, "on", f"{name}a", ROOT / "launchers/mpirun.sh", "-np", 2 * slots]
    command += ["-H", f"{name}a:{slots},{name}b:{slots}", program, "-m", "multitasking.link_steps", "--rounds", rounds]
    environment = {
        **os.environ,
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "PYTHONPATH": f"{ROOT}:{ROOT / 'benchmarks'}",
        "OMP_NUM_THREADS": "1",
    }
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not lines:
        raise SystemExit(f"{' '.join(words)}: exit code {done.returncode}\n{(done.stdout + done.stderr)[-4000:]}")
    found: dict[str, Any] = json.loads(lines[-1])
    return found


def run(quick: bool) -> tuple[dict[str, Any], bool]:
    """Prints the table; returns all numbers, and whether times and bytes are below their bars."""
    name = f"m{os.getpid()}"
    if subprocess.run([HOSTS, "start", name, RATE], check=False).returncode == NONE_HERE:
        print("not measured: two hosts on one machine need root, iproute2 and util-linux")
        return {}, True
    found, good = {}, True
    print("| ranks | gradients | ms | bytes sent by a host | numbers of a rank | bytes over the formula | time ratio |")
    print("|---|---|---|---|---|---|---|")
    try:
        for slots in QUICK_SLOTS if quick else SLOTS:
            one = found[str(2 * slots)] = steps_on(name, slots, QUICK_ROUNDS if quick else ROUNDS)
            times = one["milliseconds"]
            one["ratio"] = times["by shards"] / times["whole rows"]
            good &= (quick or one["ratio"] <= BAR) and one["difference"] <= DIFFERENCE
            for way, milliseconds in times.items():
                sent, numbers = one["bytes_of_host"][way], one["numbers_of_rank"][way]
                over = sent / (4 * numbers) if slots == 1 else None  # with more ranks some bytes stay on the host
                good &= over is None or over <= BYTES_BAR
                cells = [2 * slots, way, f"{milliseconds:.0f}", f"{sent:.0f}", f"{numbers:.0f}"]
                cells += ["" if over is None else f"{over:.3f}", f"{one['ratio']:.2f}" if way == "by shards" else ""]
                print("| " + " | ".join(map(str, cells)) + " |", flush=True)
    finally:
        subprocess.run([HOSTS, "stop", name], check=True)
    return found, good

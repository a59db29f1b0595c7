"""Measures methods of multi-task learning: the published toy problem, and the time of a call.

usage: python benchmarks/multitask.py [--only toy,exactness,speed,steps] [--quick] [--json FILE]

- `toy`: from how many of five starts does a method reach the Pareto set? `--quick` runs two methods alone.
- `exactness`: how far apart are 50 steps on one rank and on 2, 3 and 4, with missing labels? The bar: 1e-5.
- `speed`: how much processor time does one call of a weighting take? The bars: 0.3 ms for 10 objectives, 5 ms for 40.
- `steps`: how long is a step on one rank, beside TorchJD (if it is installed) and plain passes of the frameworks?

The sums of gradients over ranks: `mpirun -n 4 python -m multitasking.rows`, in this folder.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from multitasking import exactness, speed, steps, toy

SECTIONS = {"toy": toy.run, "exactness": exactness.run, "speed": speed.run, "steps": steps.run}


def main() -> int:
    """Runs the sections, prints their tables, and returns 0 if all bars are met."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default=",".join(SECTIONS), help=f"of {', '.join(SECTIONS)}")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    names = given.only.split(",")
    if unknown := sorted(set(names) - SECTIONS.keys()):
        parser.error(f"--only: found {', '.join(unknown)}; write some of {', '.join(SECTIONS)}")
    found, met = {}, True
    for name in names:
        print(f"## {name}", flush=True)
        found[name], good = SECTIONS[name](given.quick)
        met &= good
    if given.json:
        given.json.write_text(json.dumps(found, indent=1))
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())

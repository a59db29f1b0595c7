"""Time and numbers sent of the sum of gradients of objectives over ranks: by shards, and as sums of whole rows.

usage: mpirun -n 4 python -m multitasking.rows, in the folder benchmarks
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from pathlib import Path

import numpy as np

from hpcmtl.communicators.mpi import world
from hpcmtl.training.multitask.shard_sums import Shards

ROUNDS = 15
SIZES = ((3, 200_000), (10, 200_000), (10, 1_000_000))


def main() -> int:
    """Prints the times of the ranks together; returns 0."""
    group, found = world(), []
    for count, size in SIZES:
        shards = Shards(group, size)
        rows = np.random.default_rng(group.rank).normal(size=(count, shards.width)).astype(np.float32)
        weights = np.full(count, 1 / count, np.float32)

        def by_shards() -> np.ndarray:
            summed = shards.summed(rows, range(count))  # noqa: B023 - called in this turn
            shards.gramian(summed)  # noqa: B023
            return shards.gathered(weights @ summed)  # noqa: B023

        def whole() -> np.ndarray:
            total = rows.copy()  # noqa: B023
            for row in total:
                group.Allreduce(row)
            total.astype(np.float64) @ total.T  # the Gramian
            return weights @ total  # noqa: B023

        np.testing.assert_allclose(by_shards(), whole()[:size], rtol=1e-3, atol=1e-4)
        times: dict[str, list[float]] = {"by shards": [], "whole rows": []}
        for _ in range(ROUNDS):
            for name, program in (("by shards", by_shards), ("whole rows", whole)):
                group.barrier()
                start = time.perf_counter()
                program()
                group.barrier()
                times[name].append((time.perf_counter() - start) * 1e3)
        middle = {name: statistics.median(each) for name, each in times.items()}
        once = size * (group.size - 1) / group.size
        sent = {"by shards": (count + 1) * once, "whole rows": 2 * count * once}
        found.append({"objectives": count, "size": size, "ranks": group.size, "milliseconds": middle, "numbers": sent})
        if group.rank == 0:
            ratio = middle["by shards"] / middle["whole rows"]
            text = ", ".join(f"{name} {each:.1f} ms" for name, each in middle.items())
            print(f"{count} objectives, {size} numbers, {group.size} ranks: {text}, ratio {ratio:.2f}", flush=True)
    if group.rank == 0 and len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(json.dumps(found, indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

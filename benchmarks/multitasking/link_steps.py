"""Steps with 10 objectives on ranks of two hosts: gradients by shards, and as sums of whole rows on all ranks.

Started by `multitasking.slow_link` on each rank; rank 0 prints one line of JSON. Bytes are those that the network
interface of rank 0's host sent. Both programs compute the same steps, and take turns.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.communicators.mpi import world
from hpcmtl.networks.models import Mlp
from hpcmtl.training.multitask.shard_sums import Shards
from multitasking.problem import replica_by, share_of, step_inputs

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hpcmtl.training.replica import Replica

METHOD, COUNT, ROWS, TRUNK, SHAPE = "upgrad", 10, 64, Mlp(widths=(512,), outputs=256), (784,)
SENT = Path("/sys/class/net/net0/statistics/tx_bytes")
LIBRARY = "torch"


class WholeRows(Shards):
    """Rows as a plain program has them: each rank sums whole rows, and computes Gramian and update by itself."""

    @property
    def length(self) -> int:
        """See `Shards`."""
        return self.size

    @property
    def width(self) -> int:
        """See `Shards`."""
        return self.size

    @property
    def first(self) -> int:
        """See `Shards`."""
        return 0

    def summed(self, rows: np.ndarray[Any, Any], complete: Iterable[int]) -> np.ndarray[Any, Any]:
        """See `Shards`."""
        for number in complete:
            self.group.Allreduce(rows[number])
        return rows.copy()

    def gramian(self, rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """See `Shards`."""
        wide = rows.astype(np.float64)
        product: np.ndarray[Any, Any] = wide @ wide.T
        return product

    def gathered(self, block: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """See `Shards`."""
        return block


METHODS_OF_SHARDS = ("length", "width", "first", "summed", "gramian", "gathered")
PROGRAMS = {
    name: {each: vars(kind)[each] for each in METHODS_OF_SHARDS}
    for name, kind in (("by shards", Shards), ("whole rows", WholeRows))
}


def use(program: str) -> None:
    """Makes all rows of this process be summed by one of the programs."""
    for name, method in PROGRAMS[program].items():
        setattr(Shards, name, method)


def numbers_of(replica: Replica, ranks: int) -> dict[str, float]:
    """Returns how many numbers a rank of a group sends in a step: rows of shared parameters, and private gradients."""
    private = sum(array.size for array in replica.learner.views("private_gradients").values())
    shared = sum(array.size for array in replica.learner.views("gradients").values()) - private
    once = (ranks - 1) / ranks
    return {
        "by shards": ((COUNT + 1) * shared + 2 * private) * once,
        "whole rows": 2 * (COUNT * shared + private) * once,
    }


def main() -> int:
    """Prints medians of the steps of both programs; returns 0."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=11)
    rounds = parser.parse_args().rounds
    group = world()
    batches = [share_of(batch, group.rank, group.size) for batch in step_inputs(SHAPE, COUNT, [ROWS] * 4)]
    replicas = {name: replica_by(METHOD, LIBRARY, TRUNK, SHAPE, COUNT, group=group) for name in PROGRAMS}
    times: dict[str, list[float]] = {name: [] for name in PROGRAMS}
    sent: dict[str, list[float]] = {name: [] for name in PROGRAMS}
    for number in range(rounds + 1):
        for name, replica in replicas.items():
            use(name)
            group.barrier()
            start, before = time.perf_counter(), int(SENT.read_text())
            replica.step(batches[number % len(batches)], 0.02, number)
            replica.learner.collect_losses()
            group.barrier()
            if number:  # the first round makes connections
                times[name].append((time.perf_counter() - start) * 1e3)
                sent[name].append(int(SENT.read_text()) - before)
    ends = [replica.learner.parameters_matching("*") for replica in replicas.values()]
    apart = max(float(np.abs(ends[0][key] - array).max() / np.abs(array).max()) for key, array in ends[1].items())
    if group.rank == 0:
        found = {
            "ranks": group.size,
            "milliseconds": {name: statistics.median(each) for name, each in times.items()},
            "bytes_of_host": {name: statistics.median(each) for name, each in sent.items()},
            "numbers_of_rank": numbers_of(replicas["by shards"], group.size),
            "difference": apart,
        }
        print(json.dumps(found), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Each rank shares the rows of a file with the others, reads an epoch, and rank 0 prints what all of them hold.

usage: share_split.py FILE [kill]: with `kill`, rank 1 then kills itself.
"""

import json
import os
import signal
import sys
from pathlib import Path

from hpcmtl.communicators import mpi
from hpcmtl.data.batches import Batches, BatchSpec
from hpcmtl.data.cursor import Cursor
from hpcmtl.data.sources import Source
from hpcmtl.training.sessions.shared_split import share_split


def pss() -> int:
    """Return this process's part of the shared rows, in bytes: a page of n processes counts as 1/n."""
    found, counts = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if "-" in line.split()[0]:
            counts = "hpcmtl-samples" in line
        elif counts and line.startswith("Pss:"):
            found += 1024 * int(line.split()[1])
    return found


world, path = mpi.world(), Path(sys.argv[1])
spec = BatchSpec((Source("x", path, "x"),), 64)
share_split(spec, world)
with Batches(spec, Cursor(0, 0, 0), Cursor(1, 0, 0), world.rank, world.size) as batches:
    total = sum(float(batch.arrays["x"].sum(dtype="f8") * (not batch.filler)) for batch in batches)
spec.cache.arrays["x"].sum()  # each page is mapped by each rank
found = world.gather(total)
world.barrier()
parts = world.gather(pss())
if world.rank == 0:
    print(json.dumps({"sum": sum(found), "pss": parts}), flush=True)
world.barrier()
if world.rank == 1 and sys.argv[2:] == ["kill"]:
    os.kill(os.getpid(), signal.SIGKILL)
world.barrier()

"""Each rank says in one line where it is and what has reached it, and then all meet."""

import json
import os
import sys

from hpcmtl.communicators.mpi import world
from hpcmtl.launch.environment import rank_environment

ranks = world()
place = rank_environment()
says = {
    "rank": ranks.rank,
    "size": ranks.size,
    "launcher": place and (place.launcher, place.rank, place.size),
    "node": os.environ.get("SLURMD_NODENAME"),
    "fence": os.environ.get("SLURM_PMIX_FENCE"),
    "value": os.environ.get("HPCMTL_TEST_VALUE"),
}
sys.stdout.write(json.dumps(says) + "\n")
sys.stdout.flush()
ranks.barrier()

"""Rank program: all checks of collectives and of training with them, with every collective that this world can have."""

import itertools
import sys
from pathlib import Path

from hpcmtl.communicators import mpi
from hpcmtl.communicators.outcome import abort_on_error


def main() -> None:
    """Run the checks one after the other; the first that fails on any rank ends all of them."""
    world = mpi.world()
    # Imported after MPI has started: a crash is then told by Open MPI, while MXNet's own handler may hang in it.
    sys.path.insert(0, str(Path(__file__).parents[1] / "contracts"))
    import collective_suite
    import gluon_suite
    import replica_suite

    names = ["horovod", "kvstore", "mpi", *(["local"] if world.size == 1 else [])]
    checks = [*collective_suite.CHECKS, *replica_suite.ALLREDUCE_CHECKS, *gluon_suite.CHECKS]
    with abort_on_error(world):
        for name, check in itertools.product(names, checks):
            comm = world.dup()
            if world.rank == 0:
                print(name, check.__name__, flush=True)
            check(comm, gluon_suite.setup(name) if check in replica_suite.ALLREDUCE_CHECKS else name)
            comm.free()
        world.barrier()
    if world.rank == 0:
        print(f"{len(checks)} checks passed on {world.size} ranks with {', '.join(names)}")


if __name__ == "__main__":
    main()

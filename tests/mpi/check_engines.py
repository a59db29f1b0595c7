"""Rank program: all checks of the engine suite, with every engine that this world can have."""

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
    from engine_suite import CHECKS

    engines = ["horovod", "kvstore", "local"] if world.size == 1 else ["horovod", "kvstore"]
    with abort_on_error(world):
        for name, check in itertools.product(engines, CHECKS):
            comm = world.dup()
            if world.rank == 0:
                print(name, check.__name__, flush=True)
            check(comm, name)
            comm.free()
        world.barrier()
    if world.rank == 0:
        print(f"{len(CHECKS)} checks passed on {world.size} ranks with {', '.join(engines)}")


if __name__ == "__main__":
    main()

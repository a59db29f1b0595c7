"""Rank program: the last rank fails in the way named on the command line, the others wait in a collective."""

import logging
import sys
import threading

from hpcmtl.communicators import mpi
from hpcmtl.communicators.outcome import abort_on_error
from hpcmtl.errors import EnvironmentUnfitError


def fail(how: str) -> None:
    """Leave the block of `abort_on_error` by one of its exits."""
    if how == "bug":
        raise ZeroDivisionError("in user code")
    if how == "unfit":
        raise EnvironmentUnfitError("no such device")
    sys.exit(0)


def fail_in_thread(world: mpi.MpiCommunicator) -> None:
    """Fail in a thread that has its own guard, as a control thread does."""
    with abort_on_error(world):
        fail("bug")


def main(how: str) -> None:
    """Fail on the last rank; the others would wait for it for ever."""
    logging.basicConfig(format="%(message)s")
    world = mpi.world()
    with abort_on_error(world):
        if world.rank == world.size - 1:
            if how == "thread":
                threading.Thread(target=fail_in_thread, args=(world,)).start()
            else:
                fail(how)
        world.barrier() if world.rank < world.size - 1 else world.recv()


if __name__ == "__main__":
    main(sys.argv[1])

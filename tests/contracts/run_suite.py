"""Runs the checks of a contract suite on the ranks of an mpirun."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcmtl.communicators.outcome import abort_on_error

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hpcmtl.communicators.base import Communicator


def run_all(checks: Sequence[Callable[[Communicator], None]]) -> None:
    """Run all checks on this rank, each on a communicator of its own; the first that fails on any rank ends all."""
    from hpcmtl.communicators import mpi

    world = mpi.world()
    with abort_on_error(world):
        for check in checks:
            comm = world.dup()
            if world.rank == 0:
                print(check.__name__, flush=True)
            check(comm)
            comm.barrier()
            comm.free()
    if world.rank == 0:
        print(f"{len(checks)} checks passed on {world.size} ranks")
